a
# record P = P { a :: Int }

#' The mean.
#' @param xs [Real] The numbers [arg: --xs]
#' @param p P
#' @return Real
mean.of <- function(xs, p = NULL, ...) {}
