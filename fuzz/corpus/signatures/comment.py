`
# The mean.
# mean :: [Real] -> Int -> (Real -> b) -> Real
# param xs: The numbers [metavar: XS]
# param k: How many [arg: -k/--neighbours, default: 5]
# timeout: 1.5
def mean(xs, k, f): pass
