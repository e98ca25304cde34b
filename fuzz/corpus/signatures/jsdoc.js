b
/**
 * @typedef {Object} P
 * @property {string} [name] - Full
 */
/**
 * Draws.
 * @param {P[]} ps
 * @param {{a: number, b?: Array<string>}} options - Of it
 * @param {number} [k=5] How many
 * @returns {Promise<?string>} A name
 */
async function draw(ps, {a, b}, k = 5) { return `${/[`]/}`; }
module.exports = { drawn: draw };
