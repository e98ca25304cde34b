c
// @brief param x: a
// @brief f :: x
// @description Args:
// name: g
// f ::
//   --' true: -v/--verbose
//   --' false: --quiet
//   Bool ->
//   --' default: a "b"
//   Str -> ?(Worker a b)
void f(bool, char *);
