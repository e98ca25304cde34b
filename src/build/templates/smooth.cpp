// Smoothing. Plain C++: nothing in here knows that it is called from elsewhere.

#include <cstddef>
#include <vector>

// A comment above a function is its help, and a line in it says what it takes and gives; in any language, where people
// don't write that anyway. Numbers are Int or Real, and there are Bool, Str, Bytes, lists as [Real], tuples as (Int, Str),
// ?Int for what may be missing, and records.

// The mean of each number and its neighbours.
// smooth :: [Real] -> [Real]
// param xs: The numbers
std::vector<double> smooth(const std::vector<double>& xs) {
    std::vector<double> out;
    for (std::size_t i = 0; i < xs.size(); i++) {
        double sum = xs[i], count = 1;
        if (i > 0) sum += xs[i - 1], count++;
        if (i + 1 < xs.size()) sum += xs[i + 1], count++;
        out.push_back(sum / count);
    }
    return out;
}
