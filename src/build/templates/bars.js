// Charts of text. Plain JavaScript: nothing in here knows that it is called from elsewhere.

const BARS = '▁▂▃▄▅▆▇█';

/**
 * Numbers as a line of bars.
 * @param {number[]} xs - The numbers
 * @returns {string} A bar for each
 */
function bars(xs) {
  const low = Math.min(...xs);
  const step = (Math.max(...xs) - low) / (BARS.length - 1) || 1;
  return Array.from(xs, (x) => BARS[Math.round((x - low) / step)]).join('');
}

module.exports = { bars };
