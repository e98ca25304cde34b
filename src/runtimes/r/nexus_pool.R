# The R side of a Nexus pool: this file and `nexus_pool.c`, which is compiled beside it when the program is made, with
# `R CMD SHLIB -o nexus_r.so nexus_pool.c` (the name matters: Python would take a nexus_pool.so in the same folder for its
# own nexus_pool). R's own packages suffice: R 4.2 or later on Linux.
#
# A pool's script registers functions and serves. It is started through this file, which it finds on the search path:
#
#     R --vanilla --no-echo --max-ppsize=500000 -f stats.pools/nexus_pool.R --args stats.pools/pool.R
#
#     nexus_source("stats.R")                        # beside the script; errors then name its lines
#     nexus_register(1, mean_of, args = "[f8]", returns = "f8")
#     nexus_serve()
#
# A script that is started by itself (`-f stats.pools/pool.R`) begins with source("<path>/nexus_pool.R"). The environment
# variable R_DEFAULT_PACKAGES=NULL saves 80 ms of a start: functions of stats, utils, methods, graphics and grDevices are
# there all the same, and their package is loaded when one of them is first used.
#
#     nexus_register(mid, f, args, returns)          f is function `mid` of this pool; args and returns are schemas
#     nexus_serve()                                  serves nexus; never returns
#     nexus_foreign(pool, mid, args, returns)        a function that calls function `mid` of another pool
#     nexus_start(f, ...); nexus_result(future)      calls such a function without waiting; waits for its result
#     nexus_command(name, ...)                       the result of a command of this program
#     nexus_log(level, text); nexus_progress(done, total, label)
#     nexus_source(file)                             source(), relative to the file that asks for it
#     w <- nexus_run(c("sort", "-n"))                a program as a worker process beside this one; its messages are lines
#     w <- nexus_run(command = "mean")               a command of this program as one, which takes item after item
#     nexus_send(w, x); nexus_receive(w, timeout); nexus_call(w, x)       seconds; NULL, or `end`, when its output ended
#     nexus_close(w); nexus_kill(w); nexus_wait(w); nexus_alive(w); nexus_pid(w); nexus_exit_code(w); nexus_select(list(w, v))
#
# Types:
#
#     schema                R value that a function gets            R value that is taken
#     z                     NULL                                    NULL; a result of type z may be anything, and is dropped
#     b                     logical                                 logical
#     i1 i2 i4 u1 u2        integer; -2147483648 is a numeric       a whole number in range: integer, numeric, integer64,
#     u4 i8 u8 j            numeric; beyond 2^53 its digits, as       or its digits as character
#                             character: no number is changed
#     f4 f8                 numeric                                 numeric or integer, also a bare NA
#     s                     character, UTF-8                        character, or a factor: its labels
#     y                     raw                                     raw
#     ?X                    NULL or X                               NULL, or NA where X is a scalar; or X
#     [X], X one of b i u j f s    a vector                         a vector, or a list of such scalars
#     [?X], the same        a vector with NA for null               the same; NaN is a number, not NA
#     [{k:X,...}], X scalars or ?X    a data.frame                  a data.frame, or a list of records
#     [X], otherwise        a list                                  a list; for [[X]] also a matrix, by rows
#     (X,Y)                 a list                                  a list, or a vector for scalars
#     {k:X,l:Y}             a named list                            a named list, vector or data.frame, in any order
#     \(X,Y)Z               a function                              a function
#
# In [f8] and f8 an NA travels as the NaN that it is: R gets it back as NA, others see NaN. Elsewhere NA needs a `?`.
# The command line's values have no schema in nexus_command: one element is a scalar unless it is in I(), no or several
# are a list, whole numbers are integers, and a named list is a record.
#
# An error of another pool or of a worker arrives as a condition of class nexus_error: `$kind`, `$message`, `$pid`,
# `$exit_code`, and all of it in `$error`; of class nexus_timeout too, if something did not come in time.
# A call that nexus cancels is ended by an interrupt. Warnings and prints go to where nexus passes them on to standard
# error. A worker runs one function at a time; while it waits for another pool, calls that come back run nested in it.

# What R is told to read with -f it reads like what is typed, which takes 50 ms for this file; parse() takes one. And its
# compiler, which would start for what follows, takes longer than all that it would compile: it is put off.
if (sys.nframe() == 0L) {
    options(nexus_compiling = .Internal(enableJIT(0L)), nexus_file = commandArgs()[match("-f", commandArgs()) + 1L])
    if (is.na(getOption("nexus_file"))) options(nexus_file = sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L]))
    lapply(parse(getOption("nexus_file"), keep.source = FALSE), eval)
    nexus_serve()
}

options(nexus_compiling = c(getOption("nexus_compiling"), .Internal(enableJIT(0L)))[[1L]])

evalq({

# ---- the interface ---------------------------------------------------------------------------------------------------

nexus_register <- function(mid, f, args = character(), returns = "z") {
    name <- substitute(f)
    name <- if (is.name(name)) as.character(name) else paste("function", format(mid))
    invisible(.Call(C_register, mid, f, name, args, returns))
}

nexus_serve <- function() {
    restore()
    .Call(C_serve)
}

nexus_foreign <- function(pool, mid, args = character(), returns = "z") elsewhere(.Call(C_foreign, pool, mid, args, returns))

nexus_start <- function(f, ...) {
    target <- if (is.function(f)) environment(f)$.nexus_target
    if (is.null(target)) stop("nexus_start takes a function of another pool")
    .Call(C_start, target, list(...))
}

nexus_result <- function(future) .Call(C_result, future)

nexus_command <- function(name, ...) .Call(C_ask, "command", list(name, ...), NULL)

# From where nexus can't be reached, while the pool loads, a line goes to standard error.
nexus_log <- function(level, text) {
    level <- paste(level, collapse = " ")
    text <- paste(text, collapse = "\n")
    if (!.Call(C_tell, list("log", level, text))) cat(level, ": ", text, "\n", sep = "", file = stderr())
    invisible()
}

nexus_progress <- function(done, total = NULL, label = "") {
    .Call(C_tell, list("progress", done, total, paste(label, collapse = " ")))
    invisible()
}

nexus_source <- function(file) {
    if (!startsWith(file, "/")) file <- file.path(state$folder, file)
    before <- state$folder
    on.exit(state$folder <- before)
    state$folder <- dirname(file)
    read(file)
    invisible()
}

# A program (`argv`, never a shell) or a command starts as a process. Messages of a program are lines: character, or raw
# with `bytes`. With `whole`, what is sent goes as it is, and all of its output is one message. Those of a command are
# arguments and results, by the schemas `args` and `returns` as for nexus_foreign, or without. It is ended after `timeout`
# seconds, and with the call that started it, unless `detach`. The streams are "pipe" (of `stderr`: "inherit"), "inherit" or
# "null"; `env`, a named vector, is added to the environment.
nexus_run <- function(argv = NULL, command = NULL, args = NULL, returns = NULL, bytes = FALSE, whole = FALSE, timeout = NULL,
                      env = NULL, cwd = NULL, stdin = NULL, stdout = NULL, stderr = NULL, detach = FALSE) {
    start <- list(argv = if (length(argv)) I(as.character(argv)), command = command, timeout_ms = milliseconds(timeout),
                  env = if (length(env)) as.list(env), cwd = cwd, stdin = stdin, stdout = stdout, stderr = stderr,
                  detach = if (detach) TRUE, framing = if (whole) "whole")
    typed <- !is.null(command) && !(is.null(args) && is.null(returns))
    target <- if (typed) .Call(C_foreign, command, NULL, as.character(args), if (is.null(returns)) "z" else returns)
    begun <- .Call(C_ask, "run", list(start[!vapply(start, is.null, NA)]), NULL)
    structure(class = "nexus_worker", list(handle = begun[[1L]], pid = begun[[2L]], command = command, bytes = bytes, target = target))
}

# Each element of a character vector is a message of its own. An error of kind io if a thousand wait already.
nexus_send <- function(worker, ...) {
    messages <- if (!is.null(worker$command)) list(list(...)) else if (is.character(..1)) lapply(enc2utf8(..1), charToRaw) else list(..1)
    for (message in messages) .Call(C_ask, "send", list(worker$handle, message), worker$target)
    invisible()
}

nexus_receive <- function(worker, timeout = NULL, end = NULL) {
    found <- .Call(C_ask, "receive", list(worker$handle, milliseconds(timeout)), worker$target)
    if (length(found)) shown(worker, found[[1L]]) else end
}

nexus_call <- function(worker, ...) {
    nexus_send(worker, ...)
    nexus_receive(worker)
}

# The first of a list of workers that has a message: its position, and the message, or `end` if its output ended.
nexus_select <- function(workers, timeout = NULL, end = NULL) {
    handles <- I(vapply(workers, function(worker) as.numeric(worker$handle), 0))
    found <- .Call(C_ask, "select", list(handles, milliseconds(timeout)), lapply(workers, `[[`, "target"))
    list(position = found[[1L]], message = if (length(found) > 1L) shown(workers[[found[[1L]]]], found[[2L]]) else end)
}

nexus_close <- function(worker) invisible(.Call(C_ask, "close", list(worker$handle), NULL))
nexus_kill <- function(worker, signal = 9L) invisible(.Call(C_ask, "kill", list(worker$handle, signal), NULL))
# 128 and the signal's number if one ended it.
nexus_wait <- function(worker, timeout = NULL) code_of(.Call(C_ask, "wait", list(worker$handle, milliseconds(timeout)), NULL))
nexus_alive <- function(worker) .Call(C_ask, "status", list(worker$handle), NULL)$alive
nexus_pid <- function(worker) worker$pid
nexus_exit_code <- function(worker) code_of(.Call(C_ask, "status", list(worker$handle), NULL))

code_of <- function(status) if (is.null(status$signal)) status$exit_code else 128L + status$signal
milliseconds <- function(seconds) if (!is.null(seconds)) max(0, round(1000 * seconds))

shown <- function(worker, message) {
    if (!is.null(worker$command) || worker$bytes) return(message)
    message <- rawToChar(message)
    Encoding(message) <- "UTF-8"
    message
}

# Evaluates a file. source() does more, and loads the package utils for it.
read <- function(file) {
    text <- readLines(file, warn = FALSE, encoding = "UTF-8")
    lapply(parse(text = text, keep.source = TRUE, srcfile = srcfilecopy(file, text, isFile = TRUE), encoding = "UTF-8"), eval, globalenv())
}

# ---- calls -----------------------------------------------------------------------------------------------------------

# What runs the function of a call. An error or interrupt that nobody handles leaves it with list(condition, ...): this
# is what tryCatch does, in one frame of the stack instead of five, so that calls can nest.
run <- function(.nexus_run = TRUE) {
    .Internal(.addCondHands(both, leaving, environment(), environment(), FALSE))
    .Internal(.addCondHands(both, looking, environment(), NULL, TRUE))
    .Call(C_invoke)
}

both <- c("error", "interrupt")

leaving <- list(function(condition) NULL, function(condition) NULL)

looking <- list(
    function(condition) .Call(C_trace, trace(condition)),
    # The signal alone ends nothing: nexus says first which call it cancels.
    function(condition) if (!.Call(C_cancelled) && !is.null(findRestart("resume"))) invokeRestart("resume"))

# The frames of the running call, innermost first: names, files and lines. Lines are known of code that was sourced
# with its source. The frames of this file, and of packages without their source (R's own are), are left out.
trace <- function(condition) {
    names <- files <- character()
    lines <- integer()
    file <- ""
    line <- 0L
    inner <- 0L
    for (k in 1:10000) {
        frame <- sys.frame(-k)
        call <- sys.call(-k)
        if (exists(".nexus_run", frame, inherits = FALSE)) break
        f <- sys.function(-k)
        name <- if (is.name(call[[1L]])) as.character(call[[1L]])
                else if (is.function(call[[1L]])) .Call(C_name_of, call[[1L]])
                else paste(deparse(call[[1L]], nlines = 1L), collapse = "")
        if (!nzchar(name) && (is.function(call[[1L]]))) name <- "(anonymous)"
        own <- identical(environment(f), ours) || !is.null(environment(f)$.nexus_target) || !nzchar(file) && isNamespace(topenv(environment(f)))
        if (!own) {
            names <- c(names, name)
            files <- c(files, file)
            lines <- c(lines, line)
            if (length(names) == 100L) break
        }
        # Where the frame outside of this one stands is kept with the call that made this one.
        at <- attr(call, "srcref")
        if (is.null(at)) {
            if (!own) {
                file <- ""
                line <- 0L
            }
        } else {
            file <- attr(at, "srcfile")$filename
            file <- if (is.null(file)) "" else file
            line <- at[[1L]]
        }
    }
    below <- startsWith(files, state$base)
    files[below] <- substring(files[below], nchar(state$base) + 1L)
    list(names, files, lines)
}

# A function of another pool.
elsewhere <- function(target) local(function(...) .Call(C_call, .nexus_target, list(...)), list2env(list(.nexus_target = target, C_call = C_call), parent = ours))

remote_error <- function(error, wire) {
    message <- error[["message"]]
    message <- if (is.character(message) && length(message) == 1L) message else "an error without a message"
    stop(structure(class = c(if (identical(error[["kind"]], "timeout")) "nexus_timeout", "nexus_error", "error", "condition"),
                   list(message = message, call = NULL, kind = error[["kind"]], trace = error[["trace"]], pid = error[["pid"]],
                        exit_code = error[["exit_code"]], error = error, wire = wire)))
}

fail <- function(class, message) stop(structure(class = c(class, "error", "condition"), list(message = message, call = NULL)))

# ---- the start -------------------------------------------------------------------------------------------------------

# Binds the exports of R's default packages where autoload() would, on the search path before base: each is a promise
# that loads its package. Those that are attached already, as without R_DEFAULT_PACKAGES=NULL, are left alone.
provide <- function() {
    attached <- search()
    for (package in c("stats", "utils", "methods", "graphics", "grDevices")) {
        if (paste0("package:", package) %in% attached) next
        info <- file.path(.Library, package, "Meta", "nsInfo.rds")
        if (!file.exists(info)) next
        for (name in readRDS(info)$exports)
            .Internal(delayedAssign(name, call("getExportedValue", package, name), .BaseNamespaceEnv, .AutoloadEnv))
    }
}

# Undone when loading is done: what is set for loading only.
restore <- function() NULL

prepare <- function() {
    # Where source() reads this file from, or else what R was told to read.
    for (k in rev(seq_len(sys.nframe()))) {
        file <- sys.frame(k)$ofile
        if (is.character(file)) break
        file <- NULL
    }
    script <- NULL
    if (is.null(file)) {
        file <- getOption("nexus_file")
        if (is.null(file)) stop("nexus_pool.R can't tell where it lies: start it with R -f, or source() it")
        script <- commandArgs(TRUE)[1L]
        if (is.na(script)) stop("nexus_pool.R is given no script: end the command with --args and the pool's script")
    }
    folder <- dirname(file)
    library <- file.path(folder, c("nexus_r.so", "nexus_pool.so"))
    there <- file.exists(library)
    if (!there[1L] && (!there[2L] || file.exists(file.path(folder, "nexus_pool.py"))))
        stop(library[1L], " is missing: make it with R CMD SHLIB -o ", library[1L], " ", file.path(folder, "nexus_pool.c"), call. = FALSE)
    library <- library[there][1L]
    dyn.load(library)
    .Call("nexus_setup", ours, PACKAGE = sub("\\.so$", "", basename(library)))
    for (f in as.list(ours)) if (is.function(f)) .Call(C_plain, f)
    # Lines for traces; warnings when they happen, for there is no prompt at which they could wait.
    options(keep.source = TRUE, warn = 1L)
    provide()
    state$folder <- if (is.null(script)) folder else dirname(script)
    state$base <- paste0(state$folder, "/")   # files below it are named from there in traces
    .Internal(enableJIT(getOption("nexus_compiling")))
    script
}

state <- new.env()
ours <- environment()


(function(script) if (!is.null(script)) read(script))(prepare())

}, attach(NULL, name = "nexus"))
