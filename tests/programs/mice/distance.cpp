// Distances between sequences. Plain C++: nothing in here knows that it is called from another language.

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

bool is_known(char base) { return base == 'A' || base == 'C' || base == 'G' || base == 'T'; }
bool is_purine(char base) { return base == 'A' || base == 'G'; }

/// Kimura's distance with two parameters, from the places where both bases are known.
double kimura(const std::string& a, const std::string& b) {
    if (a.size() != b.size())
        throw std::runtime_error("sequences of " + std::to_string(a.size()) + " and " + std::to_string(b.size()) +
                                 " bases are not aligned");
    double places = 0, transitions = 0, transversions = 0;
    for (std::size_t i = 0; i < a.size(); i++) {
        if (!is_known(a[i]) || !is_known(b[i])) continue;
        places++;
        if (a[i] != b[i]) (is_purine(a[i]) == is_purine(b[i]) ? transitions : transversions)++;
    }
    const double p = transitions / places, q = transversions / places;
    return 0.5 * std::log(1 / ((1 - 2 * p - q) * std::sqrt(1 - 2 * q)));
}

}  // namespace

// Kimura's distances from one sequence to each of a list.
// distances :: Str -> [Str] -> [Real]
// param from: The sequence
// param to: Aligned with it
std::vector<double> distances(const std::string& from, const std::vector<std::string>& to) {
    std::vector<double> out;
    for (const std::string& other : to) out.push_back(kimura(from, other));
    return out;
}
