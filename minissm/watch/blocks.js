// What is shown of each kind of block (see views.py). now: its numbers in this sequence. then: its gradients on the
// way back from the chosen answer, or null. A view has
//   row       the name of a row
//   heat      the rows of the picture, and in words what they are
//   detail    the chosen row, beside the picture
//   columns   the chosen row, for the table
//   changes   optional: the numbers by which the first row to show is chosen

const VIEWS = {
  filter: {
    row: "channel",
    heat: (now, then) => then
      ? {values: then.dinput, what: "gradient at the input of each channel", ordered: true}
      : {values: now.read, what: "what each channel reads from its state", ordered: true},
    detail: (block, now, then, j) => then ? adjoint(block, then, j) : filter(block, now, j),
    columns: (block, now, then, j) => then
      ? [["gradient of read", then.dread[j]], ["gradient of input", then.dinput[j]]]
      : [["input", now.input[j]], ["read", now.read[j]], ["kernel", block.kernel[j]]],
  },
  attention: {
    row: "head",
    heat: (now, then) => then
      ? {values: now.weights.map(w => w.map(from => from[S.token])), what: "weight that this token gets", scale: 1}
      : {values: now.weights.map(w => w[S.token]), what: "weight that this token gives", scale: 1},
    detail: (block, now, then, j) => attention(VIEWS.attention.heat(now, then).values[j].map(upToNow), then),
    columns: (block, now, then, j) => [["weight", VIEWS.attention.heat(now, then).values[j]]],
  },
  selective: {
    row: "channel",
    changes: now => now.dt,
    heat: (now, then) => then ? outputs(then) : {values: now.size, what: "size of the state of each channel"},
    detail: (block, now, then, j) => then ? output(then, j) : selective(now, j),
    columns: (block, now, then, j) => then ? outputColumns(then, j)
      : [["dt", now.dt[j]], ["size of the state", now.size[j]]],
  },
  lstm: {
    row: "unit",
    changes: now => now.cell,
    heat: (now, then) => then ? outputs(then) : {values: now.output, what: "output of each unit"},
    detail: (block, now, then, j) => then ? output(then, j) : lstm(now, j),
    columns: (block, now, then, j) => then ? outputColumns(then, j)
      : [["cell", now.cell[j]], ["output", now.output[j]]],
  },
  stream: {
    row: "number",
    changes: now => now.adds,
    heat: (now, then) => then ? outputs(then) : {values: now.adds, what: "what the block adds to the stream"},
    detail: (block, now, then, j) => then ? output(then, j) : tokenBars(now.adds[j].map(upToNow), largest(now.adds[j])),
    columns: (block, now, then, j) => then ? outputColumns(then, j) : [["adds", now.adds[j]]],
  },
};

// ---- a channel of a linear filter: the same number twice

function filter(block, now, j) {
  const t = S.token, k = block.kernel[j], u = now.input[j], read = now.read[j];
  const before = t ? read[t - 1] : 0, enters = k[0] * u[t];
  const terms = range(length()).map(s => s <= t ? k[t - s] * u[s] : 0);
  return "<p><b>As a recurrence:</b> the value before, its decay, and the part that enters.</p>"
    + fourBars(before, enters, read[t])
    + "<p><b>As a convolution:</b> every input so far, times the kernel.</p>"
    + tokenBars(terms)
    + `<p class="number">The sum of ${t + 1} term${t ? "s" : ""} is <b id="convolution">${number(sum(terms))}</b></p>`
    + kernel(block, j);
}

function adjoint(block, then, j) {
  const t = S.token, k = block.kernel[j], dread = then.dread[j], skip = block.skip[j];
  const through = then.dinput[j].map((v, s) => v - skip * dread[s]); // by way of the state
  const before = t < asked() ? through[t + 1] : 0, enters = k[0] * dread[t];
  const terms = range(length()).map(s => s >= t && s <= asked() ? k[s - t] * dread[s] : 0);
  return "<p><b>The gradient at its output</b>, token by token, from the blocks after it:</p>"
    + tokenBars(dread.map(upToNow))
    + "<p><b>As a recurrence, from the right:</b> the value at the next token, its decay, and the part that enters.</p>"
    + fourBars(before, enters, through[t])
    + "<p><b>As a convolution:</b> the same kernel, read from right to left.</p>"
    + tokenBars(terms)
    + `<p class="number">The sum is <b id="convolution">${number(sum(terms))}</b>. With the skip, `
    + `${number(skip)} × ${number(dread[t])}, the gradient at the input is <b>${number(then.dinput[j][t])}</b>.</p>`
    + kernel(block, j);
}

const kernel = (block, j) => "<p><b>Its kernel:</b> what is left of an input after 0, 1, 2, … tokens</p>"
  + bars(block.kernel[j].slice(0, length()), range(length()), {height: 56});

function fourBars(before, enters, now) {
  const decay = now - before - enters;
  return bars([before, decay, enters, now], ["before", "decay", "enters", "now"], {on: 3})
    + `<p class="number">${number(before)} ${added(decay)} ${added(enters)} = `
    + `<b id="recurrence">${number(now)}</b></p>`;
}

// ---- other blocks

function attention(weights, then) {
  const most = weights.indexOf(Math.max(...weights)), t = S.token;
  const words = then ? `Weights that token ${t} gets, up to the answer` : `Weights that token ${t} gives`;
  return `<p>${words}:</p>` + tokenBars(weights, 1)
    + `<p class="number">The largest is ${number(weights[most])}, at token ${most}, ${named(most)}.`
    + `${then ? "" : ` Their sum is ${number(sum(weights))}.`}</p>`;
}

function selective(now, j) {
  const dt = now.dt[j], state = now.states[j][S.token];
  return "<p><b>Its step dt</b> at each token. If dt is near 0, the token is ignored and the state stays.</p>"
    + tokenBars(dt.map(upToNow), largest(dt))
    + `<p class="number">dt = <b>${number(dt[S.token])}</b> at token ${S.token}</p>`
    + "<p><b>Its state</b> now, number by number:</p>"
    + bars(state, range(state.length), {most: largest(now.states[j])});
}

function lstm(now, j) {
  const [i, f, o, g] = now.gates[j].map(gate => gate[S.token]), cell = now.cell[j];
  return "<p><b>Its cell:</b> the value before, the loss by the forget gate, the gain by the input gate.</p>"
    + fourBars(S.token ? cell[S.token - 1] : 0, i * g, cell[S.token])
    + `<p class="number">Gates: forget ${number(f)}, input ${number(i)}, output ${number(o)}; candidate ${number(g)}. `
    + `Output: o tanh(cell) = <b>${number(now.output[j][S.token])}</b></p>`;
}

// Backwards through a block that is not a linear filter: the gradient at its output.
const outputs = then => ({values: then.doutput, what: "gradient at the output of the block"});
const outputColumns = (then, j) => [["gradient of output", then.doutput[j]]];
const output = (then, j) => "<p><b>The gradient at its output</b>, token by token:</p>"
  + tokenBars(then.doutput[j].map(upToNow), largest(then.doutput));

// ---- bars

const upToNow = (v, t) => filled(t) ? v : 0;
const tokenBars = (values, most) =>
  bars(values, example().tokens.map(token => short(D.names[token])), {most, on: S.token});

function bars(values, labels, {most = largest(values), height = 78, on = -1} = {}) {
  const width = 340, w = width / labels.length, every = Math.ceil(labels.length / 17);
  const signed = values.some(v => v < 0), room = signed ? height / 2 : height;
  const bar = (v, i) => {
    const h = Math.min(1, Math.abs(v) / most) * (room - 2);
    const rect = `<rect class="${v < 0 ? "n" : "p"}" x="${i * w + w * .14}" y="${v < 0 ? room : room - h}" `
      + `height="${h}" style="width:${w * .72}px"></rect>`;
    if (i % every && i !== on) return rect;
    const look = i === on ? ' class="on"' : "";
    return `${rect}<text${look} x="${(i + .5) * w}" y="${height + 14}" text-anchor="middle">${safe(labels[i])}</text>`;
  };
  const words = values.map((v, i) => `${labels[i]}: ${number(v)}`).join(", ");
  return `<svg class="bars" role="img" aria-label="${safe(words)}" viewBox="0 0 ${width} ${height + 18}">`
    + `<line x1="0" x2="${width}" y1="${room}" y2="${room}"></line>${values.map(bar).join("")}</svg>`;
}
