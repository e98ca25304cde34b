b
// f :: Int -> Int
export const f = (x, ...y) => x;
/** @template T @param {T} a */
// @returns {(a: number) => void}
export { g as h };
