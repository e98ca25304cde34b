// The C++ pool of iris: which functions it offers under which ids. Does none of their work.
#include "../iris.hpp"
#include "nexus.hpp"

namespace iris {
NEXUS_RECORD(Measures, sepal_length, sepal_width, petal_length, petal_width)
NEXUS_RECORD(Flower, sepal_length, sepal_width, petal_length, petal_width, species)
NEXUS_RECORD(Summary, species, n, sepal_length, sepal_width, petal_length, petal_width)
NEXUS_RECORD(Verdict, species, votes, k)
}  // namespace iris

static std::vector<iris::Flower> py_flowers() { return nexus::call<std::vector<iris::Flower>>("py", 4); }

static iris::Verdict classify(const std::vector<iris::Flower>& flowers, const iris::Measures& measures, std::uint32_t k) {
    return iris::classify(flowers, measures, k);
}

static std::vector<std::string> leave_one_out(std::uint32_t k) { return iris::leave_one_out(py_flowers(), k); }

int main() {
    nexus::add<&iris::summarize>(1);
    nexus::add<&classify>(2);
    nexus::add<&leave_one_out>(3);
    nexus::add<&iris::correlate>(4);
    return nexus::serve();
}
