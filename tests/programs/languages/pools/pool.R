# The functions of the conformance pools, in R. Their numbers, names and types are the same in every language.

pools_foreign <- function(pool, mid) nexus_foreign(pool, mid, args = "i8", returns = "i8")

echo_floats <- function(xs) xs
add <- function(a, b) a + b
echo_record <- function(record) record
echo_tuple <- function(tuple) tuple
fail <- function(message) stop(message)
relay <- function(pool, mid, n) pools_foreign(pool, mid)(n) + 1
sleep <- function(seconds) Sys.sleep(seconds)
say <- function(text) cat(text, "\n", sep = "")
note <- function(level, text) nexus_log(level, text)
step <- function(done, total, label) nexus_progress(done, total, label)

fan <- function(pool, mid, n) {
    f <- pools_foreign(pool, mid)
    waiting <- lapply(seq_len(n), function(i) nexus_start(f, i))
    sum(vapply(waiting, nexus_result, 0))
}

apply_to <- function(f, n) f(n)
adder <- function(n) function(x) x + n
leave <- function(code) quit(save = "no", status = code)

spin <- function(seconds) {
    end <- proc.time()[["elapsed"]] + seconds
    while (proc.time()[["elapsed"]] < end) NULL
}

echo_lists <- function(a, b, c, d) list(a, b, c, d)
echo_bytes <- function(bytes) bytes
echo_text <- function(text) text
via <- function(name, n) nexus_command(name, n)

kind_of <- function(pool, mid, n) tryCatch({
    pools_foreign(pool, mid)(n)
    ""
}, nexus_error = function(error) error$kind)

chain <- function(pools, n) {
    if (n == 0) return(0)
    1 + nexus_foreign(pools[[n %% length(pools) + 1]], 21, args = c("[s]", "i8"), returns = "i8")(pools, n - 1)
}

compose <- function(f, g) function(x) f(g(x))
total <- function(xs) sum(xs)
blob <- function(n) seq(0, length.out = n, by = 1)
double_of <- function(n) 2 * n

nap <- function(milliseconds) {
    Sys.sleep(milliseconds / 1000)
    milliseconds
}

echo_big <- function(n) n
own_pid <- function() Sys.getpid()
tree <- function(node) node$value + sum(vapply(node$kids, tree, 0))

crew <- function(words, name, n) {
    sort <- nexus_run("sort")
    nexus_send(sort, words)
    nexus_close(sort)
    found <- character()
    while (!is.null(line <- nexus_receive(sort))) found <- c(found, line)
    twice <- nexus_run(command = name)
    list(found, nexus_call(twice, nexus_call(twice, n)))
}

mishap <- function(argv, milliseconds)
    tryCatch(nexus_receive(nexus_run(argv), timeout = milliseconds / 1000, end = "end"), nexus_error = function(error) error$kind)

nexus_register(1, echo_floats, args = "[f8]", returns = "[f8]")
nexus_register(2, add, args = c("i8", "i8"), returns = "i8")
nexus_register(3, echo_record, args = "{name:s,age:?u1,tags:[s]}", returns = "{name:s,age:?u1,tags:[s]}")
nexus_register(4, echo_tuple, args = "(b,j,y,f4)", returns = "(b,j,y,f4)")
nexus_register(5, fail, args = "s", returns = "z")
nexus_register(6, relay, args = c("s", "i8", "i8"), returns = "i8")
nexus_register(7, sleep, args = "f8", returns = "z")
nexus_register(8, say, args = "s", returns = "z")
nexus_register(9, note, args = c("s", "s"), returns = "z")
nexus_register(10, step, args = c("f8", "f8", "s"), returns = "z")
nexus_register(11, fan, args = c("s", "i8", "i8"), returns = "i8")
nexus_register(12, apply_to, args = c("\\(i8)i8", "i8"), returns = "i8")
nexus_register(13, adder, args = "i8", returns = "\\(i8)i8")
nexus_register(14, leave, args = "i8", returns = "z")
nexus_register(15, spin, args = "f8", returns = "z")
nexus_register(16, echo_lists, args = c("[i4]", "[u1]", "[i8]", "[f4]"), returns = "([i4],[u1],[i8],[f4])")
nexus_register(17, echo_bytes, args = "y", returns = "y")
nexus_register(18, echo_text, args = "s", returns = "s")
nexus_register(19, via, args = c("s", "i8"), returns = "i8")
nexus_register(20, kind_of, args = c("s", "i8", "i8"), returns = "s")
nexus_register(21, chain, args = c("[s]", "i8"), returns = "i8")
nexus_register(22, compose, args = c("\\(i8)i8", "\\(i8)i8"), returns = "\\(i8)i8")
nexus_register(23, total, args = "[f8]", returns = "f8")
nexus_register(24, blob, args = "i8", returns = "[f8]")
nexus_register(25, double_of, args = "i8", returns = "i8")
nexus_register(26, nap, args = "i8", returns = "i8")
nexus_register(27, echo_big, args = "j", returns = "j")
nexus_register(28, own_pid, returns = "i8")
nexus_register(29, tree, args = "&4Tree{value:i8,kids:[^4Tree]}", returns = "i8")
nexus_register(30, crew, args = c("[s]", "s", "i8"), returns = "([s],i8)")
nexus_register(31, mishap, args = c("[s]", "i8"), returns = "s")
nexus_serve()
