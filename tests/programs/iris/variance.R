# Analysis of variance. Plain R: nothing in here knows who calls it.

#' record Variance = Variance { f :: Real, p :: Real, between :: Real, within :: Real }

#' Whether a measure differs between groups: Fisher's F, how likely so much is by chance, and the mean squares.
#' variance :: [Str] -> [Real] -> Variance
variance <- function(groups, values) {
  rows <- summary(aov(values ~ factor(groups)))[[1]]
  list(f = rows[["F value"]][1], p = rows[["Pr(>F)"]][1], between = rows[["Mean Sq"]][1], within = rows[["Mean Sq"]][2])
}
