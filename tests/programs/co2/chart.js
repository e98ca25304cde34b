// Charts of numbers. Plain JavaScript: nothing in here knows who calls it.

const BARS = '▁▂▃▄▅▆▇█';

/**
 * Numbers as a line of bars, as many as asked, each the mean of its part.
 * @param {number} width - Bars [arg: -w/--width, default: 60]
 * @param {number[]} values - The numbers
 * @returns {string}
 */
function bars(width, values) {
  const count = Math.max(1, Math.min(width, values.length));
  const means = Array.from({ length: count }, (_, i) => {
    const part = values.slice(Math.floor((i * values.length) / count), Math.floor(((i + 1) * values.length) / count));
    return part.reduce((sum, x) => sum + x, 0) / part.length;
  });
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const step = (x) => Math.min(BARS.length - 1, Math.floor(((x - low) / (high - low || 1)) * BARS.length));
  return means.map((x) => BARS[step(x)]).join('');
}

/**
 * A chart as an SVG image.
 * @param {string} title
 * @param {number[]} values
 * @returns {string}
 */
function svg(title, values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (i) => ((i / Math.max(1, values.length - 1)) * 600 + 20).toFixed(1);
  const y = (value) => (220 - ((value - low) / (high - low || 1)) * 180).toFixed(1);
  // A list of numbers comes as a Float64Array, whose own map would make numbers of these texts.
  const points = Array.from(values, (value, i) => `${x(i)},${y(value)}`).join(' ');
  return [
    '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="240" font-family="sans-serif" font-size="12">',
    `<text x="20" y="20">${title.replace(/&/g, '&amp;').replace(/</g, '&lt;')}</text>`,
    `<polyline fill="none" stroke="steelblue" points="${points}"/>`,
    `<text x="20" y="236">${low}</text><text x="620" y="36" text-anchor="end">${high}</text>`,
    '</svg>',
  ].join('\n');
}

module.exports = { bars, svg };
