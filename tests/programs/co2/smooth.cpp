// Numbers of a series in short. Plain C++: nothing in here knows that it is called from another language.

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

// The mean of each value and those around it, as many as the window reaches on either side.
// smooth :: Int -> [Real] -> [Real]
// param reach: Values on each side
std::vector<double> smooth(long reach, const std::vector<double>& xs) {
    if (reach < 0) throw std::runtime_error("a window reaches " + std::to_string(reach) + " values, expected 0 or more");
    std::vector<double> sums(xs.size() + 1), out;
    for (std::size_t i = 0; i < xs.size(); i++) sums[i + 1] = sums[i] + xs[i];
    for (std::size_t i = 0; i < xs.size(); i++) {
        const std::size_t from = i - std::min<std::size_t>(i, reach), to = std::min(i + reach + 1, xs.size());
        out.push_back((sums[to] - sums[from]) / static_cast<double>(to - from));
    }
    return out;
}

// Slope and start of the straight line that is nearest to the values.
// line :: [Real] -> (Real, Real)
std::pair<double, double> line(const std::vector<double>& ys) {
    const double n = static_cast<double>(ys.size()), middle = (n - 1) / 2;
    double mean = 0, both = 0, squares = 0;
    for (double y : ys) mean += y / n;
    for (std::size_t i = 0; i < ys.size(); i++) {
        const double x = static_cast<double>(i) - middle;
        both += x * (ys[i] - mean);
        squares += x * x;
    }
    if (squares == 0) throw std::runtime_error("a line needs two values");
    return {both / squares, mean - both / squares * middle};
}
