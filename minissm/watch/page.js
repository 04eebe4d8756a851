"use strict";
// The data: see data.py. The state: everything that is drawn follows from it, and the address holds it.

const byId = id => document.getElementById(id);
const D = JSON.parse(byId("data").textContent, (name, value) => {
  if (value === null || typeof value.float32 !== "string") return value;
  const bytes = Uint8Array.from(atob(value.float32), c => c.charCodeAt(0));
  return nested([...new Float32Array(bytes.buffer)], value.shape);
});
function nested(flat, [n, ...rest]) {
  const size = flat.length / n;
  return rest.length ? Array.from({length: n}, (_, i) => nested(flat.slice(i * size, (i + 1) * size), rest)) : flat;
}

const VIEWED = D.blocks.map((block, i) => i).filter(i => D.blocks[i].view);
const S = {sequence: 0, token: 0, answer: null, block: VIEWED[0], row: 0};
const example = () => D.examples[S.sequence];
const back = () => S.answer === null ? null : example().answers[S.answer];
const length = () => example().tokens.length;
const asked = () => example().asked[S.answer];
const last = () => back() ? asked() : length() - 1;
const filled = t => back() ? t >= S.token && t <= asked() : t <= S.token;
const range = n => Array.from({length: n}, (_, i) => i);
const clamp = (v, low, high) => Math.max(low, Math.min(high, Number.isFinite(v) ? v : low));

// ---- numbers and names

const safe = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
const number = (v, digits = 3) => !Number.isFinite(v) ? "–" : v === 0 ? "0" : v.toPrecision(digits).replace("-", "−");
const added = v => (v < 0 ? "− " : "+ ") + number(Math.abs(v));
const percent = p => p >= .9995 ? "more than 99.9" : (100 * p).toFixed(1);
const sum = values => values.reduce((a, b) => a + b, 0);
const largest = values => Math.max(1e-12, ...values.flat(2).filter(Number.isFinite).map(Math.abs));
const named = t => `${safe(D.kinds[example().tokens[t]])} <b>${safe(D.names[example().tokens[t]])}</b>`;
const plain = t => `token ${t}, ${D.kinds[example().tokens[t]]} ${D.names[example().tokens[t]]}`;
const short = name => /^<.*>$/.test(name) ? name[1].toUpperCase() : name;

// ---- the blocks. heat: the rows of a picture, what they are, signed or not; detail: the chosen row beside it;
// ---- columns: its numbers a token, for the table

const VIEWS = {
  filter: {
    row: "channel",
    heat: (block, now, then) => then
      ? {values: then.dinput, what: "gradient at the input of each channel", ends: true}
      : {values: now.read, what: "what each channel reads from its state", ends: true},
    detail: (block, now, then, row) => then ? adjoint(block, then, row) : filter(block, now, row),
    columns: (block, now, then, row) => then
      ? [["gradient of read", then.dread[row]], ["gradient of input", then.dinput[row]]]
      : [["input", now.input[row]], ["read", now.read[row]], ["kernel", block.kernel[row]]],
  },
  attention: {
    row: "head",
    heat: (block, now, then) => then
      ? {values: now.weights.map(w => w.map(from => from[S.token])), what: "the weight that later tokens give this one", scale: 1}
      : {values: now.weights.map(w => w[S.token]), what: "the weight that this token gives each token", scale: 1},
    detail: (block, now, then, row) => {
      const values = VIEWS.attention.heat(block, now, then).values[row].map((v, t) => filled(t) ? v : 0);
      const most = values.indexOf(Math.max(...values));
      return `<p>${then ? "Weights that the tokens up to the answer give" : "Weights that are given by"} token ${S.token}:</p>`
        + bars(values, tokenNames(), {most: 1})
        + `<p class="number">The largest is ${number(values[most])}, at token ${most}, ${named(most)}.`
        + `${then ? "" : ` All add up to ${number(sum(values))}.`}</p>`;
    },
    columns: (block, now, then, row) => [["weight", VIEWS.attention.heat(block, now, then).values[row]]],
  },
  selective: {
    row: "channel",
    heat: (block, now, then) => then ? asksOfOutput(then) : {values: now.size, what: "size of the state of each channel"},
    detail: (block, now, then, row) => then ? outputDetail(then, row)
      : `<p><b>Its step dt</b> at each token. Near 0 the token is ignored and the state stays.</p>`
        + bars(now.dt[row].map((v, t) => filled(t) ? v : 0), tokenNames(), {most: largest(now.dt[row])})
        + `<p class="number">dt = <b>${number(now.dt[row][S.token])}</b> at token ${S.token}</p>`
        + `<p><b>Its state</b> now, number by number:</p>` + bars(now.states[row][S.token], now.states[row][S.token].map((_, i) => i),
          {most: largest(now.states[row])}),
    columns: (block, now, then, row) => then ? outputColumns(then, row) : [["dt", now.dt[row]], ["size of the state", now.size[row]]],
  },
  lstm: {
    row: "unit",
    heat: (block, now, then) => then ? asksOfOutput(then) : {values: now.output, what: "output of each unit"},
    detail: (block, now, then, row) => {
      if (then) return outputDetail(then, row);
      const [i, f, o, g] = now.gates[row].map(gate => gate[S.token]);
      const before = S.token ? now.cell[row][S.token - 1] : 0;
      return "<p><b>Its cell:</b> what the forget gate f keeps, and what the input gate i lets in.</p>"
        + fourBars(before, f * before - before, i * g, now.cell[row][S.token])
        + `<p class="number">f ${number(f)}, i ${number(i)}, g ${number(g)}, o ${number(o)}; output o tanh(cell) = <b>${number(now.output[row][S.token])}</b></p>`;
    },
    columns: (block, now, then, row) => then ? outputColumns(then, row) : [["cell", now.cell[row]], ["output", now.output[row]]],
  },
  stream: {
    row: "number",
    heat: (block, now, then) => then ? asksOfOutput(then) : {values: now.adds, what: "what the block adds to the stream"},
    detail: (block, now, then, row) => then ? outputDetail(then, row)
      : bars(now.adds[row].map((v, t) => filled(t) ? v : 0), tokenNames(), {most: largest(now.adds[row])}),
    columns: (block, now, then, row) => then ? outputColumns(then, row) : [["adds", now.adds[row]]],
  },
};
const asksOfOutput = then => ({values: then.doutput, what: "gradient at the output of the block"});
const outputDetail = (then, row) => `<p><b>The gradient at its output</b>, number ${row} of the stream:</p>`
  + bars(then.doutput[row].map((v, t) => filled(t) ? v : 0), tokenNames(), {most: largest(then.doutput)});
const outputColumns = (then, row) => [["gradient of output", then.doutput[row]]];

function filter(block, now, row) {
  const t = S.token, k = block.kernel[row], u = now.input[row], read = now.read[row];
  const before = t ? read[t - 1] : 0, enters = k[0] * u[t], decay = read[t] - enters - before;
  const terms = range(length()).map(s => s <= t ? k[t - s] * u[s] : 0);
  return "<p><b>As a recurrence:</b> what the state gave before, its decay, what enters.</p>"
    + fourBars(before, decay, enters, read[t])
    + "<p><b>As a convolution:</b> every input so far, times the kernel.</p>" + bars(terms, tokenNames())
    + `<p class="number">${t + 1} term${t ? "s" : ""} add up to <b id="convolution">${number(sum(terms))}</b></p>` + kernel(block, row);
}

function adjoint(block, then, row) {
  const t = S.token, k = block.kernel[row], dread = then.dread[row];
  const through = then.dinput[row].map((v, s) => v - block.skip[row] * dread[s]);
  const before = t < asked() ? through[t + 1] : 0, enters = k[0] * dread[t], decay = through[t] - enters - before;
  const terms = range(length()).map(s => s >= t && s <= asked() ? k[s - t] * dread[s] : 0);
  return "<p><b>The gradient at its output</b>, token by token, from the blocks after it:</p>"
    + bars(dread.map((v, s) => filled(s) ? v : 0), tokenNames())
    + "<p><b>As a recurrence, from the right:</b> what the next token gave, its decay, what enters.</p>"
    + fourBars(before, decay, enters, through[t])
    + "<p><b>As a convolution:</b> the same kernel, read from right to left.</p>" + bars(terms, tokenNames())
    + `<p class="number">They add up to <b id="convolution">${number(sum(terms))}</b>. `
    + `With the skip, ${number(block.skip[row])} × ${number(dread[t])}, the input gets <b>${number(then.dinput[row][t])}</b>.</p>`
    + kernel(block, row);
}

const kernel = (block, row) => "<p><b>Its kernel:</b> what is left of an input after 0, 1, 2, … tokens</p>"
  + bars(block.kernel[row].slice(0, length()), range(length()), {height: 56, on: -1});

const fourBars = (before, decay, enters, now) => bars([before, decay, enters, now], ["before", "decay", "enters", "now"], {on: 3})
  + `<p class="number">${number(before)} ${added(decay)} ${added(enters)} = <b id="recurrence">${number(now)}</b></p>`;

const tokenNames = () => example().tokens.map(token => short(D.names[token]));

function bars(values, labels, {most = largest(values), height = 78, on = labels.length === length() ? S.token : -1} = {}) {
  const width = 340, w = width / labels.length, every = Math.ceil(labels.length / 17), signed = values.some(v => v < 0);
  const zero = signed ? height / 2 : height, room = (signed ? height / 2 : height) - 2;
  const bar = (v, i) => {
    const h = Math.min(1, Math.abs(v || 0) / most) * room;
    return `<rect class="${v < 0 ? "n" : "p"}" x="${i * w + w * .14}" y="${v < 0 ? zero : zero - h}" style="width:${w * .72}px" height="${h}"></rect>`
      + (i % every && i !== on ? "" : `<text x="${i * w + w / 2}" y="${height + 14}" text-anchor="middle"${i === on ? ' class="on"' : ""}>${safe(labels[i])}</text>`);
  };
  const text = values.map((v, i) => `${labels[i]}: ${number(v)}`).join(", ");
  return `<svg class="bars" role="img" aria-label="${safe(text)}" viewBox="0 0 ${width} ${height + 18}">`
    + `<line x1="0" x2="${width}" y1="${zero}" y2="${zero}"></line>${range(values.length).map(i => bar(values[i], i)).join("")}</svg>`;
}

// ---- the picture, row by row under the tokens

const row = (title, words, names, cells) => `<div class="row"><div class="label"><b>${title}</b><span class="soft">${words}</span></div>`
  + `<div class="names">${names.map(n => `<span>${safe(n)}</span>`).join("")}</div><div class="cells">${cells}<i class="now"></i></div></div>`;

function heat(values, scale, high, name, more = "", norm = false) {
  const rects = values.map((line, j) => line.map((v, t) => {
    if (!filled(t) || !v) return "";
    const shade = Math.min(1, (Math.abs(v) / scale) ** .7).toFixed(3);
    return `<rect class="${norm ? "norm" : v < 0 ? "n" : "p"}" x="${t + .03}" y="${j}" ${norm || v >= 0 ? 'width=".94" ' : ""}height="1" fill-opacity="${shade}"></rect>`;
  }).join("")).join("");
  return `<svg role="img" aria-label="${safe(name)}" viewBox="0 0 ${length()} ${values.length}" preserveAspectRatio="none" `
    + `style="height:${values.length * high}px" ${more}>${rects}`;
}

function blockRow(i) {
  const block = D.blocks[i], view = VIEWS[block.view], now = example().blocks[i], then = back() ? back().blocks[i] : null;
  const {values, what, scale = .6 * largest(values), ends} = view.heat(block, now, then);
  const high = clamp(200 / values.length, 3, 18), j = rowOf(i, values.length);
  const few = block.rows.length < block.of ? ` (${block.rows.length} of ${block.of} shown)` : "";
  const frame = i === S.block ? `<rect class="frame" x="0" y="${j}" width="${length()}" height="1"></rect>` : "";
  const name = `block ${i}, ${block.name}: ${what}; ${view.row} ${block.rows[j] ?? j} at token ${S.token}: ${number(values[j][S.token])}`;
  const words = `${what}${few}${ends ? "; short memories above, long ones below" : ""}`;
  return row(`block ${i}: ${safe(block.name)}`, words, values.length < 9 ? range(values.length) : [],
    heat(values, scale, high, name, `data-block="${i}"`) + frame + "</svg>");
}

const rowOf = (i, rows) => clamp(i === S.block ? S.row : best(i), 0, rows - 1);

function best(i) { // of the channels of a filter, the one whose input times gradient is largest; else the first
  const a = example().answers[S.answer ?? 0].blocks[i], u = example().blocks[i].input;
  if (!u) return 0;
  const worth = u.map((line, j) => Math.max(...line.map((v, t) => Math.abs(v * a.dinput[j][t]))));
  return worth.indexOf(Math.max(...worth));
}

function answerRow() {
  const e = example();
  const cells = e.shown.map((token, v) => e.tokens.map((_, t) => {
    const question = e.asked.indexOf(t), p = e.p[v][t], shade = question < 0 ? .2 * p : p;
    if (!filled(t)) return '<div class="chance"></div>';
    const right = question >= 0 && e.targets[question] === token;
    return `<div class="chance${right ? " right" : ""}${shade > .5 ? " likely" : ""}"><i style="--chance:${shade.toFixed(3)};opacity:${shade.toFixed(3)}"></i>`
      + `<span>${question >= 0 && p > .005 ? Math.round(100 * p) : ""}</span></div>`;
  }).join("")).join("");
  return row("The answer", "probability in percent; framed: the right one; pale where nothing is asked", e.shown.map(t => D.names[t]), cells);
}

function costRow() {
  const costs = back().costs, known = costs.filter(Number.isFinite), top = Math.max(1e-9, ...known), low = Math.min(0, ...known);
  const rects = costs.map((v, t) => Number.isFinite(v) ? `<rect class="${v < 0 ? "n" : "p"}" x="${t + .15}" y="${top - Math.max(v, 0)}" `
    + `style="width:.7px" height="${Math.abs(v)}"></rect>` : "").join("");
  const text = costs.map((v, t) => `${plain(t)}: ${number(v, 2)}`).join("; ");
  return row("What it needs", "lead that is lost when the token is exchanged for others of its kind, on average", [],
    `<svg role="img" aria-label="${safe(`lead lost by an exchange: ${text}`)}" viewBox="0 0 ${length()} ${top - low}" preserveAspectRatio="none" style="height:70px">${rects}</svg>`
    + costs.map((v, t) => `<span class="cost">${t > asked() ? "" : Number.isFinite(v) ? v.toFixed(1).replace("-", "−") : "–"}</span>`).join(""));
}

function pathRow() {
  const path = back().path, names = ["in", ...range(D.blocks.length)];
  const at = path.map((line, j) => `${j ? `after block ${j - 1}` : "embedding"}: ${number(line[S.token])}`).join("; ");
  return row("The path back", "size of the gradient at the embedding (in) and after each block", names,
    heat(path, largest(path), 24, `size of the gradient at token ${S.token}. ${at}`, "", true) + "</svg>");
}

// ---- the words

function saysForwards() {
  const e = example(), question = e.asked.indexOf(S.token);
  const head = `<h2>Token ${S.token}: ${named(S.token)}</h2>`;
  if (question < 0) return `${head}<p>Nothing is asked here. What the model says is not trained, and pale below.</p>`;
  const target = e.targets[question], said = e.said[question], at = e.shown.indexOf(said);
  const sure = at < 0 ? "" : ` with <span id="said">${percent(e.p[at][S.token])}</span> %`;
  const verdict = said === target ? "That is right." : `<span class="wrong">Wrong</span>: the answer is <b>${safe(D.names[target])}</b>.`;
  return `${head}<p>Here the task asks. The model says <b>${safe(D.names[said])}</b>${sure}. ${verdict}</p>`;
}

function saysBackwards() {
  const e = example(), a = back(), target = D.names[e.targets[S.answer]], said = D.names[e.said[S.answer]];
  const costs = a.costs.map((v, t) => [v, t]).filter(([v, t]) => t < asked() && Number.isFinite(v)).sort((x, y) => y[0] - x[0]);
  const most = costs.slice(0, 2).map(([v, t]) => `${named(t)} at ${t} (${number(v)})`).join(" and ");
  return `<h2>Back from the answer to ${named(asked())} at ${asked()}</h2>`
    + `<p>The right answer is <b>${safe(target)}</b>${said === target ? "" : `, <span class="wrong">the model says ${safe(said)}</span>`}.`
    + ` Its lead: <b id="lead">${number(a.lead)}</b>. Now at token ${S.token}, ${named(S.token)}.</p>`
    + (most ? `<p>Of the tokens before, an exchange of ${most} costs most.</p>` : "");
}

function table() {
  const e = example(), a = back(), block = D.blocks[S.block];
  const columns = a ? [["exchange costs", a.costs], ["gradient of the embedding, size", a.path[0]]]
    : e.shown.map((token, v) => [`p(${D.names[token]})`, e.p[v]]);
  if (block) {
    const j = S.row, which = `block ${S.block}, ${VIEWS[block.view].row} ${block.rows[j] ?? j}: `;
    columns.push(...VIEWS[block.view].columns(block, e.blocks[S.block], a && a.blocks[S.block], j).map(([name, v]) => [which + name, v]));
  }
  const line = t => `<tr${t === S.token ? ' aria-current="true"' : ""}><th scope="row">${t} ${safe(D.kinds[e.tokens[t]])} ${safe(D.names[e.tokens[t]])}</th>`
    + columns.map(([, v]) => `<td>${number(v[t], 4)}</td>`).join("") + "</tr>";
  return `<table><caption>${a ? `Back from the answer at token ${asked()}` : "Forwards"}</caption><thead><tr><th scope="col">token</th>`
    + `${columns.map(([name]) => `<th scope="col">${safe(name)}</th>`).join("")}</tr></thead><tbody>${range(length()).map(line).join("")}</tbody></table>`;
}

// ---- the state: buttons, keys, address

const pressed = (on, words, data) => `<button type="button" aria-pressed="${on}" ${data}>${words}</button>`;

function newSequence() { // what stays while one steps; so the focus stays, too
  const e = example();
  byId("tokens").innerHTML = e.tokens.map((token, t) => `<button type="button" data-token="${t}" class="token kind${kindOf(token)}`
    + `${e.asked.includes(t) ? " asked" : ""}" aria-label="${safe(plain(t))}${e.asked.includes(t) ? ", asked" : ""}"><b>${safe(short(D.names[token]))}`
    + `${e.asked.includes(t) ? "?" : ""}</b><small>${t}</small></button>`).join("") + '<i class="now"></i>';
  byId("directions").innerHTML = pressed(true, "forwards", 'data-answer=""') + '<span class="soft">back from</span>'
    + e.asked.map((t, a) => pressed(false, `${safe(short(D.names[e.tokens[t]]))}?`, `data-answer="${a}" aria-label="back from the answer at ${safe(plain(t))}"`)).join("");
  byId("stage").style.setProperty("--tokens", length());
}
const kindOf = token => [...new Set(D.kinds)].indexOf(D.kinds[token]);

function draw() {
  const view = D.blocks[S.block] && VIEWS[D.blocks[S.block].view];
  S.token = clamp(S.token, 0, last());
  byId("stage").style.setProperty("--token", S.token);
  for (const button of byId("tokens").querySelectorAll("button")) {
    const t = Number(button.dataset.token);
    button.classList.toggle("later", !filled(t));
    t === S.token ? button.setAttribute("aria-current", "true") : button.removeAttribute("aria-current");
  }
  for (const b of byId("sequences").querySelectorAll("button")) b.setAttribute("aria-pressed", Number(b.dataset.sequence) === S.sequence);
  for (const b of byId("directions").querySelectorAll("button")) b.setAttribute("aria-pressed", b.dataset.answer === String(S.answer ?? ""));
  const pictures = VIEWED.map(blockRow);
  byId("rows").innerHTML = (back() ? [costRow(), ...pictures, pathRow()] : [...pictures, answerRow()]).join("");
  byId("say").innerHTML = back() ? saysBackwards() : saysForwards();
  if (view) {
    const block = D.blocks[S.block], now = example().blocks[S.block], then = back() && back().blocks[S.block];
    const rows = view.heat(block, now, then).values.length;
    S.row = clamp(S.row, 0, rows - 1);
    const name = then && then.doutput ? `number ${S.row}` : `${view.row} ${block.rows[S.row]}`;
    const memory = block.memory ? `, memory ${block.memory[S.row].toFixed(1)} tokens` : "";
    byId("block").value = S.block;
    byId("row").max = rows - 1;
    byId("row").value = S.row;
    byId("row").setAttribute("aria-valuetext", name + memory);
    byId("row-of").textContent = name;
    byId("detail").innerHTML = view.detail(block, now, then, S.row);
  }
  byId("token").max = last();
  byId("token").value = S.token;
  byId("token").setAttribute("aria-valuetext", plain(S.token));
  byId("table").innerHTML = table();
  clearTimeout(draw.later); // browsers refuse an address that changes often, as while a slider is dragged
  draw.later = setTimeout(write, 200);
}

function write() { // the state into the address
  const state = {sequence: S.sequence, token: S.token, ...(back() && {answer: asked()})};
  if (S.block !== undefined) Object.assign(state, {block: S.block, row: S.row});
  try { history.replaceState(null, "", `#${new URLSearchParams(state)}`); } catch { /* a frame without an address */ }
}

function read() { // the state in the address; what is missing or doesn't fit is replaced
  const given = new URLSearchParams(location.hash.slice(1)), at = name => given.has(name) ? Number(given.get(name)) : NaN;
  S.sequence = clamp(at("sequence"), 0, D.examples.length - 1);
  newSequence();
  S.answer = example().asked.indexOf(at("answer"));
  if (S.answer < 0) S.answer = null;
  S.token = given.has("token") ? clamp(at("token"), 0, last()) : example().asked[0];
  S.block = VIEWED.includes(at("block")) ? at("block") : VIEWED[VIEWED.length - 1];
  S.row = given.has("row") ? clamp(at("row"), 0, Infinity) : S.block === undefined ? 0 : best(S.block);
  draw();
}

function turn(answer) { // backwards from an answer, or forwards again
  S.answer = answer;
  if (back()) {
    S.token = asked();
    if (S.block !== undefined) S.row = best(S.block);
  }
  draw();
}

function listen() {
  const step = by => { S.token += by; draw(); };
  byId("left").onclick = () => step(-1);
  byId("right").onclick = () => step(1);
  byId("token").oninput = event => { S.token = Number(event.target.value); draw(); };
  byId("row").oninput = event => { S.row = Number(event.target.value); draw(); };
  byId("block").onchange = event => { S.block = Number(event.target.value); S.row = best(S.block); draw(); };
  byId("sequences").onclick = ({target}) => {
    if (target.dataset.sequence === undefined) return;
    Object.assign(S, {sequence: Number(target.dataset.sequence), answer: null});
    S.token = example().asked[0];
    newSequence();
    draw();
  };
  byId("directions").onclick = ({target}) => {
    if (target.dataset.answer !== undefined) turn(target.dataset.answer === "" ? null : Number(target.dataset.answer));
  };
  byId("tokens").onclick = ({target}) => {
    const button = target.closest("button");
    if (button) { S.token = Number(button.dataset.token); draw(); }
  };
  byId("rows").onclick = event => {
    const svg = event.target.closest("svg[data-block]");
    if (!svg) return;
    const box = svg.getBoundingClientRect(), rows = svg.viewBox.baseVal.height;
    S.block = Number(svg.dataset.block);
    S.row = clamp(Math.floor((event.clientY - box.top) / box.height * rows), 0, rows - 1);
    S.token = Math.floor((event.clientX - box.left) / box.width * length());
    draw();
  };
  document.onkeydown = event => {
    const inField = event.target.matches("input, select, .scroll");
    if (event.ctrlKey || event.altKey || event.metaKey || inField) return;
    const keys = {
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      Home: () => step(-S.token),
      End: () => step(last() - S.token),
      b: () => turn(back() ? null : Math.max(0, example().asked.indexOf(S.token))),
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  };
  window.onhashchange = read;
}

function begin() {
  byId("spec").textContent = D.spec;
  byId("task").textContent = D.task;
  document.title = `Watch ${D.spec} on ${D.task}`;
  byId("about").textContent = `${D.about} ${D.size.toLocaleString("en")} parameters; ${(100 * D.accuracy).toFixed(1)} % of the answers `
    + `in ${D.searched.toLocaleString("en")} fresh sequences are right (baseline, without what the task tests: ${(100 * D.baseline).toFixed(1)} %). `
    + (D.wrong ? `${D.wrong.toLocaleString("en")} sequences have a mistake.` : "None of them has a mistake, so none is shown with one.");
  byId("asks").textContent = "“?” where the task asks";
  byId("sequences").innerHTML = D.examples.map((e, i) => {
    const mistakes = e.said.filter((token, a) => token !== e.targets[a]).length;
    return pressed(false, `${i + 1}: ${mistakes ? `${mistakes} of ${e.asked.length} wrong` : "all right"}`, `data-sequence="${i}"`);
  }).join("");
  byId("block").innerHTML = VIEWED.map(i => `<option value="${i}">${i}: ${safe(D.blocks[i].name)}</option>`).join("");
  byId("chosen").hidden = !VIEWED.length;
  if (D.needs) {
    const {tokens, answers, exchange, gradient} = D.needs;
    byId("needs").textContent = `For this model, in ${answers} answers of fresh sequences, the `
      + `${tokens > 1 ? `${tokens} largest costs are those of the ${tokens} tokens that hold the answer` : "largest cost is that of the token that holds the answer"} `
      + `${exchange} times; the largest gradient${tokens > 1 ? "s" : ""} times the embedding, ${gradient} times.`;
  }
  listen();
  read();
}
begin();
