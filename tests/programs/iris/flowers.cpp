// Statistics of flowers. Plain C++: nothing in here knows that it is called from another language. The signatures in the
// comments are what nexus reads; a record is declared once in the words of all languages, and once in those of C++.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// In centimetres.
// record Measures = Measures { sepal_length :: Real, sepal_width :: Real, petal_length :: Real, petal_width :: Real }
struct Measures {
    double sepal_length = 0, sepal_width = 0, petal_length = 0, petal_width = 0;
};
// record Flower = Flower { sepal_length :: Real, sepal_width :: Real, petal_length :: Real, petal_width :: Real,
//                          species :: Str }
struct Flower : Measures {
    std::string species;
};
// record Summary = Summary { species :: Str, n :: Int, sepal_length :: Real, sepal_width :: Real, petal_length :: Real,
//                            petal_width :: Real }
struct Summary : Measures {
    std::string species;
    std::int64_t n = 0;
};
// record Verdict = Verdict { species :: Str, votes :: Int, k :: Int }
struct Verdict {
    std::string species;
    std::int64_t votes = 0, k = 0;
};

constexpr double Measures::*columns[] = {&Measures::sepal_length, &Measures::sepal_width, &Measures::petal_length,
                                         &Measures::petal_width};

/// Mean and sample standard deviation.
static std::pair<double, double> moments(const std::vector<double>& xs) {
    const auto n = static_cast<long double>(xs.size());
    long double sum = 0, squares = 0;
    for (double x : xs) sum += x;
    for (double x : xs) squares += (x - sum / n) * (x - sum / n);
    return {static_cast<double>(sum / n), xs.size() < 2 ? 0 : static_cast<double>(std::sqrt(squares / (n - 1)))};
}

// The means of each species, or the standard deviations, in the order in which the species appear.
// summarize :: [Flower] -> Bool -> [Summary]
std::vector<Summary> summarize(const std::vector<Flower>& flowers, bool deviation) {
    std::vector<Summary> out;
    for (const Flower& flower : flowers) {
        const auto same = [&](const Summary& s) { return s.species == flower.species; };
        auto found = std::find_if(out.begin(), out.end(), same);
        if (found == out.end()) {
            found = out.emplace(out.end());
            found->species = flower.species;
        }
        found->n++;
    }
    for (Summary& summary : out)
        for (auto column : columns) {
            std::vector<double> xs;
            for (const Flower& flower : flowers)
                if (flower.species == summary.species) xs.push_back(flower.*column);
            const auto [mean, spread] = moments(xs);
            summary.*column = deviation ? spread : mean;
        }
    return out;
}

// What most of the `k` nearest flowers are; of equals, the one that reached its votes first.
// nearest :: [Flower] -> Measures -> Int -> Verdict
Verdict nearest(const std::vector<Flower>& flowers, const Measures& measures, std::int64_t k) {
    if (k < 1 || k > static_cast<std::int64_t>(flowers.size()))
        throw std::runtime_error("k is " + std::to_string(k) + ", expected 1 to " + std::to_string(flowers.size()));
    std::vector<std::pair<double, const Flower*>> near;
    for (const Flower& flower : flowers) {
        double squares = 0;
        for (auto column : columns) squares += (flower.*column - measures.*column) * (flower.*column - measures.*column);
        near.emplace_back(squares, &flower);
    }
    std::partial_sort(near.begin(), near.begin() + k, near.end());
    std::vector<Verdict> votes;
    Verdict best;
    for (std::int64_t i = 0; i < k; i++) {
        const std::string& species = near[i].second->species;
        auto found = std::find_if(votes.begin(), votes.end(), [&](const Verdict& v) { return v.species == species; });
        if (found == votes.end()) found = votes.insert(votes.end(), {species, 0, k});
        if (++found->votes > best.votes) best = *found;
    }
    return best;
}

// The correlation of two lists of numbers.
// Pearson's coefficient, by C++ alone.
// correlate :: [Real] -> [Real] -> Real
// param xs: Numbers
// param ys: As many numbers
// return: From -1 to 1
// example: iris correlate '[1, 2, 3]' '[2, 4, 7]'
// example: iris correlate "$(iris column petal_length)" "$(iris column petal_width)"
double correlate(const std::vector<double>& xs, const std::vector<double>& ys) {
    if (xs.size() != ys.size() || xs.size() < 2)
        throw std::runtime_error("the lists have " + std::to_string(xs.size()) + " and " + std::to_string(ys.size()) +
                                 " numbers, expected as many of each, and two at least");
    const auto [mean_x, spread_x] = moments(xs);
    const auto [mean_y, spread_y] = moments(ys);
    if (spread_x == 0 || spread_y == 0) throw std::runtime_error("all numbers of a list are the same, so nothing varies together");
    long double sum = 0;
    for (std::size_t i = 0; i < xs.size(); i++) sum += (xs[i] - mean_x) * (ys[i] - mean_y);
    return static_cast<double>(sum / (static_cast<long double>(xs.size() - 1) * spread_x * spread_y));
}
