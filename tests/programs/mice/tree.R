# Trees from distances. Plain R: nothing in here knows who calls it.

#' A tree by average linkage, in Newick's notation.
#' newick :: [Str] -> [[Real]] -> Str
newick <- function(names, distances) {
  tree <- hclust(as.dist(do.call(rbind, distances)), method = "average")
  height <- function(node) if (node < 0) 0 else tree$height[node] / 2
  write_node <- function(node, above) {
    inside <- if (node < 0) {
      names[-node]
    } else {
      paste0("(", paste(vapply(tree$merge[node, ], write_node, "", above = height(node)), collapse = ","), ")")
    }
    sprintf("%s:%.5f", inside, above - height(node))
  }
  root <- length(tree$height)
  children <- vapply(tree$merge[root, ], write_node, "", above = height(root))
  paste0("(", paste(children, collapse = ","), ");")
}

#' Clusters of a tree by average linkage: for each name the number of its cluster.
#' clusters :: Int -> [[Real]] -> [Int]
clusters <- function(k, distances) {
  as.integer(cutree(hclust(as.dist(do.call(rbind, distances)), method = "average"), k = k))
}
