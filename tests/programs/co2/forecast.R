# Seasons and forecasts. Plain R: nothing in here knows who calls it.

#' A series taken apart: what comes back each year, in the order of the months.
#' season :: [Real] -> [Real]
season <- function(values) {
  parts <- stl(ts(values, frequency = 12), s.window = "periodic")
  as.numeric(parts$time.series[1:12, "seasonal"])
}

#' The next months by Holt and Winters, with what they are likely to lie between.
#' forecast :: Int -> [Real] -> [(Real, Real, Real)]
#' @param months How many
forecast <- function(months, values) {
  fit <- HoltWinters(ts(values, frequency = 12))
  ahead <- predict(fit, n.ahead = months, prediction.interval = TRUE)
  lapply(seq_len(months), function(i) list(ahead[i, "fit"], ahead[i, "lwr"], ahead[i, "upr"]))
}
