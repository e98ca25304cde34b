# Numbers on a common scale. Plain R: nothing in here knows that it is called from elsewhere.

# The comment is what R's own tools read, with the type in front of each description.

#' Each number as its distance from the mean, in standard deviations.
#'
#' @param xs [Real] The numbers
#' @return [Real] As many
standardize <- function(xs) (xs - mean(xs)) / sd(xs)
