// Trees for people to look at. Plain JavaScript: nothing in here knows who calls it.

/** An upright by where its lines go: to the stem, to a child, up, down. */
const JOINTS = {
  '0101': '┌', '0110': '└', '0111': '├', '0011': '│', '1011': '┤', '1111': '┼', '1101': '┬', '1110': '┴',
};

/** Reads Newick's notation into nested nodes. */
function parse(text) {
  let at = 0;
  const node = () => {
    const children = [];
    if (text[at] === '(') {
      do { at += 1; children.push(node()); } while (text[at] === ',');
      at += 1;
    }
    const [label] = /^[^,();]*/.exec(text.slice(at));
    at += label.length;
    const [name, length] = label.split(':');
    return { name, length: Number(length || 0), children };
  };
  return node();
}

/**
 * Draws a tree with lines of text, the longest way as wide as asked.
 * @param {string} newick - The tree in Newick's notation
 * @param {number} width - Columns for the tree
 * @returns {string} Its lines
 */
function draw(newick, width) {
  const tree = parse(newick);
  const depth = (node) => node.length + Math.max(0, ...node.children.map(depth));
  const scale = width / (depth(tree) || 1);
  // From a column and a distance to the root on; what rounding takes from one stem it gives to the next.
  const lines = (node, column, above) => {
    const distance = above + node.length;
    const stem = Math.max(1, Math.round(distance * scale) - column);
    if (node.children.length === 0) return { rows: ['─'.repeat(stem) + ' ' + node.name], at: 0 };
    const parts = node.children.map((child) => lines(child, column + stem + 1, distance));
    const rows = [];
    const first = parts[0].at;
    let last = 0;
    parts.forEach((part) => { last = rows.length + part.at; rows.push(...part.rows); });
    const middle = Math.floor((first + last) / 2);
    // The lines of the children behind an upright that joins them, with the stem in the middle.
    let row = 0;
    const joined = parts.flatMap((part) => part.rows.map((text, i) => {
      const reaches = [row === middle, i === part.at, row > first && row <= last, row >= first && row < last];
      const joint = JOINTS[reaches.map(Number).join('')] || ' ';
      const out = (row === middle ? '─'.repeat(stem) : ' '.repeat(stem)) + joint + text;
      row += 1;
      return out;
    }));
    return { rows: joined, at: middle };
  };
  return lines(tree, 0, 0).rows.map((line) => line.trimEnd()).join('\n');
}

module.exports = { draw };
