// Statistics of iris flowers. Plain C++: nothing in here knows that it is called from another language.

#ifndef IRIS_HPP
#define IRIS_HPP

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace iris {

/// In centimetres.
struct Measures {
    double sepal_length = 0, sepal_width = 0, petal_length = 0, petal_width = 0;
};
struct Flower : Measures {
    std::string species;
};
struct Summary : Measures {
    std::string species;
    std::uint32_t n = 0;
};
struct Verdict {
    std::string species;
    std::uint32_t votes = 0, k = 0;
};

constexpr double Measures::*columns[] = {&Measures::sepal_length, &Measures::sepal_width, &Measures::petal_length,
                                         &Measures::petal_width};

/// Mean and sample standard deviation.
inline std::pair<double, double> moments(const std::vector<double>& xs) {
    const auto n = static_cast<long double>(xs.size());
    long double sum = 0, squares = 0;
    for (double x : xs) sum += x;
    for (double x : xs) squares += (x - sum / n) * (x - sum / n);
    return {static_cast<double>(sum / n), xs.size() < 2 ? 0 : static_cast<double>(std::sqrt(squares / (n - 1)))};
}

/// The means of each species, or the standard deviations, in the order in which the species appear.
inline std::vector<Summary> summarize(const std::vector<Flower>& flowers, bool deviation) {
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

/// What most of the `k` nearest flowers are; of equals, the one that reached its votes first. Passes over `left_out`.
inline Verdict classify(const std::vector<Flower>& flowers, const Measures& measures, std::uint32_t k,
                        const Flower* left_out = nullptr) {
    std::vector<std::pair<double, const Flower*>> near;
    for (const Flower& flower : flowers) {
        double squares = 0;
        for (auto column : columns) squares += (flower.*column - measures.*column) * (flower.*column - measures.*column);
        if (&flower != left_out) near.emplace_back(squares, &flower);
    }
    if (k < 1 || k > near.size())
        throw std::runtime_error("k is " + std::to_string(k) + ", expected 1 to " + std::to_string(near.size()));
    std::partial_sort(near.begin(), near.begin() + k, near.end());
    std::vector<Verdict> votes;
    Verdict best;
    for (std::uint32_t i = 0; i < k; i++) {
        const std::string& species = near[i].second->species;
        auto found = std::find_if(votes.begin(), votes.end(), [&](const Verdict& v) { return v.species == species; });
        if (found == votes.end()) found = votes.insert(votes.end(), {species, 0, k});
        if (++found->votes > best.votes) best = *found;
    }
    return best;
}

/// For each flower, what the others say it is.
inline std::vector<std::string> leave_one_out(const std::vector<Flower>& flowers, std::uint32_t k) {
    std::vector<std::string> out;
    for (const Flower& flower : flowers) out.push_back(classify(flowers, flower, k, &flower).species);
    return out;
}

/// Pearson's coefficient.
inline double correlate(const std::vector<double>& xs, const std::vector<double>& ys) {
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

}  // namespace iris

#endif  // IRIS_HPP
