# The pool that runs snippets of flows in R: parses each code once, and calls it with what stands at its port.
#
# A snippet is code whose last value is a function, as function(args) ..., or that defines a function `main`, or one function.
#
#     JSON             in R                                        from R
#     null             NULL                                        NULL, NA
#     true, 1, "a"     a vector of one element; numbers numeric    a vector of one element, without names
#     [1, 2], ["a"]    a vector in I(), which keeps [1] a list     a vector in I() or of another length than one
#     [...] otherwise  a list without names                        a list without names
#     {...}            a list with names                           a list or vector with names; a data.frame is a list of rows
#
# An error that came over a port is such a list with `kind`, `message` and a function `error`, which gives the message. What
# lies in the code's environment stays from call to call, and is gone when the code has not been used for long.
#
# nexus_r.so is compiled when the first snippet in R runs. What it does not do: keep snippets from each other.

local({
    # Traces have the frames of the snippet's own code: functions of an environment with this name count as the runtime's.
    .nexus_target <- TRUE

    arguments <- commandArgs()
    folder <- dirname(arguments[match("-f", arguments) + 1L])

    # Made beside and renamed: whoever finds it finds all of it.
    library <- file.path(folder, "nexus_r.so")
    if (!file.exists(library)) {
        work <- file.path(folder, paste0("r-", Sys.getpid()))
        dir.create(work)
        file.copy(file.path(folder, "nexus_pool.c"), work)
        before <- setwd(work)
        said <- suppressWarnings(system2(file.path(R.home("bin"), "R"), c("CMD", "SHLIB", "-o", "nexus_r.so", "nexus_pool.c"),
                                         stdout = TRUE, stderr = TRUE))
        setwd(before)
        if (!file.rename(file.path(work, "nexus_r.so"), library)) {
            cat(said, sep = "\n", file = stderr())
            cat("R's part of nexus can't be compiled: install a C compiler, on Debian: apt install r-base-dev\n", file = stderr())
            quit(status = 1L)
        }
        unlink(work, recursive = TRUE)
    }
    source(file.path(folder, "nexus_pool.R"))

    # Codes that are kept, the last used; a flow has a few dozen.
    codes_max <- 1000L
    code_bytes_max <- 8e6

    codes <- character()   # the one that was used last stands last
    kept <- list()         # what calls each

    snippet <- function(code, arg) {
        arg <- from_json(arg)
        value <- if (is.null(arg$error)) arg$value else c(arg$error, list(error = function() arg$error$message))
        main <- use(code)
        to_json(main(value))
    }

    use <- function(code) {
        at <- match(code, codes)
        if (is.na(at)) {
            kept <<- c(kept, function_of(code))
            codes <<- c(codes, code)
            while (length(codes) > codes_max || length(codes) > 1L && sum(nchar(codes, "bytes")) > code_bytes_max) {
                kept <<- kept[-1L]
                codes <<- codes[-1L]
            }
        } else if (at < length(codes)) {
            kept <<- c(kept[-at], kept[at])
            codes <<- c(codes[-at], code)
        }
        kept[[length(kept)]]
    }

    function_of <- function(code) {
        names <- new.env(parent = globalenv())
        last <- NULL
        for (expression in as.list(parsed(code))) last <- eval(expression, names)
        if (is.function(names$main)) return(names$main)
        if (is.function(last)) return(last)
        functions <- Filter(is.function, as.list(names))
        if (length(functions) == 1L) return(functions[[1L]])
        stop("the snippet gives no function, expected function(args) ...", call. = FALSE)
    }

    parsed <- function(code) {
        lines <- strsplit(code, "\n", fixed = TRUE)[[1L]]
        parse(text = lines, keep.source = TRUE, srcfile = srcfilecopy("snippet", lines), encoding = "UTF-8")
    }

    # Why each of the codes can't be parsed, or NULL. Runs none.
    check <- function(codes) to_json(lapply(codes, function(code) {
        tryCatch({ parsed(code); NULL }, error = function(e) sub("\n.*", "", conditionMessage(e)))
    }))

    # ---- JSON --------------------------------------------------------------------------------------------------------

    token <- "\"[^\"\\\\]*+(?:\\\\.[^\"\\\\]*+)*+\"|-?[0-9][-+.0-9eE]*+|true|false|null|[][{},:]"

    from_json <- function(text) {
        tokens <- regmatches(text, gregexpr(token, text, perl = TRUE))[[1L]]
        at <- 0L
        read <- function() {
            at <<- at + 1L
            first <- tokens[[at]]
            switch(substr(first, 1L, 1L), "{" = read_map(), "[" = read_list(), "\"" = unescaped(first),
                   t = TRUE, f = FALSE, n = NULL, as.numeric(first))
        }
        read_map <- function() {
            values <- list()
            names <- character()
            while (tokens[[at + 1L]] != "}") {
                if (tokens[[at + 1L]] == ",") at <<- at + 1L
                names[[length(names) + 1L]] <- unescaped(tokens[[at + 1L]])
                at <<- at + 2L
                values[length(names)] <- list(read())
            }
            at <<- at + 1L
            structure(values, names = names)
        }
        read_list <- function() {
            values <- list()
            while (tokens[[at + 1L]] != "]") {
                if (tokens[[at + 1L]] == ",") at <<- at + 1L
                values[length(values) + 1L] <- list(read())
            }
            at <<- at + 1L
            types <- unique(vapply(values, typeof, ""))
            plain <- length(types) == 1L && types %in% c("double", "character", "logical")
            if (plain && !any(vapply(values, inherits, NA, "AsIs"))) I(unlist(values)) else values
        }
        read()
    }

    escapes <- c(n = "\n", t = "\t", r = "\r", b = "\b", f = "\f")

    unescaped <- function(text) {
        text <- substr(text, 2L, nchar(text) - 1L)
        if (!grepl("\\", text, fixed = TRUE)) return(text)
        found <- gregexpr("(?:\\\\u[0-9a-fA-F]{4})+|\\\\[^u]", text, perl = TRUE)
        regmatches(text, found) <- lapply(regmatches(text, found), vapply, character_of, "")
        text
    }

    character_of <- function(escape) {
        letter <- substr(escape, 2L, 2L)
        if (letter == "u") {
            return(intToUtf8(strtoi(strsplit(substring(escape, 3L), "\\u", fixed = TRUE)[[1L]], 16L), allow_surrogate_pairs = TRUE))
        }
        if (letter %in% names(escapes)) escapes[[letter]] else letter
    }

    to_json <- function(x) {
        if (is.null(x)) return("null")
        if (is.data.frame(x)) {
            rows <- lapply(seq_len(nrow(x)), function(row) lapply(as.list(x), `[[`, row))
            return(to_json(rows))
        }
        if (is.object(x) && !is.list(x) && !inherits(x, "AsIs")) x <- as.character(x)
        if (is.list(x)) {
            x <- x[!vapply(x, is.function, NA)]
            parts <- vapply(unclass(x), to_json, "", USE.NAMES = FALSE)
        } else if (is.atomic(x)) {
            parts <- scalars(x)
        } else {
            stop("the snippet returned a ", typeof(x), ", expected what JSON can hold", call. = FALSE)
        }
        if (!is.null(names(x))) {
            entries <- if (length(parts)) paste0(quoted(names(x)), ":", parts, collapse = ",")
            return(paste0("{", entries, "}"))
        }
        if (length(parts) == 1L && !is.list(x) && !inherits(x, "AsIs")) return(parts)
        paste0("[", paste(parts, collapse = ","), "]")
    }

    scalars <- function(x) {
        x <- unclass(x)
        text <- switch(typeof(x), logical = ifelse(x, "true", "false"), integer = sprintf("%d", x), double = numbers(x),
                       character = quoted(x), stop("the snippet returned a ", typeof(x), ", expected what JSON can hold", call. = FALSE))
        text[is.na(x) & !is.nan(x)] <- "null"
        as.character(text)
    }

    # With the fewest digits that read back the same.
    numbers <- function(x) {
        text <- sprintf("%.15g", x)
        longer <- is.finite(x) & as.numeric(text) != x
        text[longer] <- sprintf("%.17g", x[longer])
        text[is.nan(x)] <- "\"NaN\""
        text[is.infinite(x)] <- ifelse(x[is.infinite(x)] > 0, "\"Infinity\"", "\"-Infinity\"")
        text
    }

    quoted <- function(text) {
        text <- enc2utf8(as.character(text))
        text <- gsub("([\"\\\\])", "\\\\\\1", text, perl = TRUE)
        if (any(grepl("[\001-\037]", text, perl = TRUE))) {
            for (code in 1:31) text <- gsub(intToUtf8(code), sprintf("\\u%04x", code), text, fixed = TRUE)
        }
        paste0("\"", text, "\"")
    }

    nexus_register(1, snippet, args = c("s", "<Json>s"), returns = "<Json>s")
    nexus_register(2, check, args = "[s]", returns = "<Json>s")
})
nexus_serve()
