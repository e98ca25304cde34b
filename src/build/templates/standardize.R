# Numbers on a common scale. Plain R: nothing in here knows that it is called from elsewhere.

#' Each number as its distance from the mean, in standard deviations.
#'
#' @param xs [Real] The numbers. The type stands first, in brackets for a list
#' @return [Real] As many
standardize <- function(xs) (xs - mean(xs)) / sd(xs)
