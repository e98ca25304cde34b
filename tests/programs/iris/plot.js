// Plots for a terminal. Plain JavaScript: nothing in here knows who calls it.

const MARKS = ['o', '+', 'x', '*', '#'];

/**
 * A scatter plot of two measures, with a mark for each group.
 * @param {string[]} groups
 * @param {number[]} xs
 * @param {number[]} ys
 * @param {number} width - Columns of the plot
 * @returns {string}
 */
function scatter(groups, xs, ys, width) {
  const height = Math.ceil(width / 3);
  const rows = Array.from({ length: height }, () => Array(width).fill(' '));
  const names = [...new Set(groups)];
  const [left, right, bottom, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const step = (value, low, high, steps) => Math.round(((value - low) / (high - low || 1)) * (steps - 1));
  groups.forEach((group, i) => {
    const row = height - 1 - step(ys[i], bottom, top, height);
    rows[row][step(xs[i], left, right, width)] = MARKS[names.indexOf(group) % MARKS.length];
  });
  const legend = names.map((name, i) => `${MARKS[i % MARKS.length]} ${name}`).join('   ');
  const scale = String(left).padEnd(width - String(right).length) + right;
  const margin = (i) => (i === 0 ? String(top) : i === height - 1 ? String(bottom) : '').padStart(5);
  const lines = rows.map((row, i) => `${margin(i)} |${row.join('').trimEnd()}`);
  return [...lines, `      +${'-'.repeat(width)}`, `       ${scale}`, `       ${legend}`].join('\n');
}

module.exports = { scatter };
