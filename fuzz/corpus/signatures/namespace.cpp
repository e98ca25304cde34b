c
// flags: -O3
#if 0
#endif
namespace geo::flat {
/** The area.
 * @param r One
 * record P = P where
 *   x :: Real
 * area :: Real -> [P]
 */
template <class T> std::vector<P> area(const T &r = 1.0f) noexcept {}
}
NEXUS_RECORD(P, x)
// add :: Int -> Int -> Int
auto add(int a, std::map<int, int> b = {}) -> long;
