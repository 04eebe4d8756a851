"use strict";
// The data come from data.py. All that is drawn follows from the state S, and the address holds it.

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

const range = n => Array.from({length: n}, (_, i) => i);
const clamp = (v, low, high) => Math.max(low, Math.min(high, Number.isFinite(v) ? v : low));
const sum = values => values.reduce((a, b) => a + b, 0);
const largest = values => Math.max(1e-12, ...values.flat(2).filter(Number.isFinite).map(Math.abs));

const VIEWED = range(D.blocks.length).filter(i => D.blocks[i].view);
const S = {sequence: 0, token: 0, answer: null, block: VIEWED[0], row: 0}; // answer: null forwards, else its number
const example = () => D.examples[S.sequence];
const back = () => S.answer === null ? null : example().answers[S.answer];
const length = () => example().tokens.length;
const asked = () => example().asked[S.answer];
const last = () => back() ? asked() : length() - 1;
const filled = t => back() ? t >= S.token && t <= asked() : t <= S.token;

// ---- numbers and names

const safe = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
const minus = text => text.replace("-", "−");
const number = (v, digits = 3) => !Number.isFinite(v) ? "–" : v === 0 ? "0" : minus(v.toPrecision(digits));
const loss = v => minus(v.toFixed(largest(back().costs) < 1 ? 2 : 1).replace(/^-(0\.0+)$/, "$1")); // of lead
const added = v => (v < 0 ? "− " : "+ ") + number(Math.abs(v));
const percent = p => p >= .9995 ? "more than 99.9" : (100 * p).toFixed(1);
const nameOf = token => safe(D.names[token]);
const named = t => `${safe(D.kinds[example().tokens[t]])} <b>${nameOf(example().tokens[t])}</b>`;
const plain = t => `token ${t}, ${D.kinds[example().tokens[t]]} ${D.names[example().tokens[t]]}`;
const short = name => /^<.*>$/.test(name) ? name[1].toUpperCase() : name;

/* blocks.js */
// ---- the picture: rows under the tokens

function row(title, words, names, cells, height = "auto") {
  return `<div class="row"><div class="label"><b>${title}</b><span class="soft">${words}</span></div>`
    + `<div class="names" style="height:${height}">${names.map(name => `<span>${name}</span>`).join("")}</div>`
    + `<div class="cells">${cells}<i class="now"></i></div></div>`;
}

function heat(values, {scale, high, name, signed = true, more = ""}) {
  const cell = (v, t, j) => {
    if (!filled(t) || !v) return "";
    const shade = Math.min(1, (Math.abs(v) / scale) ** .7).toFixed(3);
    const look = !signed ? "norm" : v < 0 ? "n" : "p";
    return `<rect class="${look}" x="${t + .03}" y="${j}" width=".94" height="1" fill-opacity="${shade}"></rect>`;
  };
  return `<svg role="img" aria-label="${safe(name)}" viewBox="0 0 ${length()} ${values.length}" ${more} `
    + `preserveAspectRatio="none" style="height:${values.length * high}px">`
    + values.map((line, j) => line.map((v, t) => cell(v, t, j)).join("")).join("");
}

const pictured = i => VIEWS[D.blocks[i].view].heat(example().blocks[i], back() && back().blocks[i]);
const rowName = (i, j) => {
  const block = D.blocks[i];
  return back() && block.outputs ? `number ${block.outputs[j]}` : `${VIEWS[block.view].row} ${block.rows[j]}`;
};

function blockRow(i) {
  const block = D.blocks[i], {values, what, scale = .6 * largest(values), ordered} = pictured(i);
  const high = clamp(200 / values.length, 3, 26), j = clamp(i === S.block ? S.row : best(i), 0, values.length - 1);
  const words = [
    what + (block.rows.length < block.of ? ` (${block.rows.length} of ${block.of} shown)` : ""),
    ...(ordered ? ["short memories above, long ones below"] : []),
    `full colour from ${number(scale, 2)}`,
  ];
  const present = `${rowName(i, j)} at token ${S.token}: ${number(values[j][S.token])}`;
  const name = `block ${i}, ${block.name}: ${what}; ${present}`;
  const frame = i === S.block ? `<rect class="frame" x="0" y="${j}" width="${length()}" height="1"></rect>` : "";
  const picture = heat(values, {scale, high, name, more: `data-block="${i}"`}) + frame + "</svg>";
  const names = values.length < 9 ? range(values.length) : [];
  return row(`block ${i}: ${safe(block.name)}`, words.join("; "), names, picture, `${values.length * high}px`);
}

function best(i) { // the row to begin with: of a filter the largest input x gradient, else the one that changes most
  const now = example().blocks[i], {dinput} = example().answers[S.answer ?? 0].blocks[i];
  const {changes} = VIEWS[D.blocks[i].view];
  const worth = dinput ? now.input.map((line, j) => largest(line.map((v, t) => v * dinput[j][t])))
    : changes ? changes(now).map(line => Math.max(...line) - Math.min(...line)) : [0];
  return worth.indexOf(Math.max(...worth));
}

function answerRow() {
  const e = example();
  const cell = (token, v, t) => {
    if (!filled(t)) return '<div class="chance"></div>';
    const question = e.asked.indexOf(t), p = e.p[v][t], shade = (question < 0 ? .2 * p : p).toFixed(3);
    const look = (question >= 0 && e.targets[question] === token ? " right" : "") + (shade > .6 ? " likely" : "");
    return `<div class="chance${look}"><i style="--chance:${shade}"></i>`
      + `<span>${question >= 0 && p > .005 ? Math.round(100 * p) : ""}</span></div>`;
  };
  const words = "probability in percent; the right answer has a frame; pale where nothing is asked";
  const cells = e.shown.map((token, v) => range(length()).map(t => cell(token, v, t)).join("")).join("");
  return row("The answer", words, e.shown.map(nameOf), cells);
}

function costRow() {
  const costs = back().costs, known = costs.filter(Number.isFinite);
  const top = Math.max(1e-9, ...known), low = Math.min(0, ...known);
  const bar = (v, t) => `<rect class="${v < 0 ? "n" : "p"}" x="${t + .15}" y="${top - Math.max(v, 0)}" `
    + `style="width:.7px" height="${Math.abs(v)}"></rect>`;
  const cost = (v, t) => t > asked() ? "" : Number.isFinite(v) ? loss(v) : "–";
  const name = `lead lost by an exchange: ${costs.map((v, t) => `${plain(t)}: ${cost(v, t)}`).join("; ")}`;
  const words = "mean loss of lead when the token is exchanged for others of its kind";
  return row("What the answer needs", words, [],
    `<svg role="img" aria-label="${safe(name)}" viewBox="0 0 ${length()} ${top - low}" preserveAspectRatio="none" `
    + `style="height:70px">${costs.map((v, t) => Number.isFinite(v) ? bar(v, t) : "").join("")}</svg>`
    + costs.map((v, t) => `<span class="cost">${cost(v, t)}</span>`).join(""));
}

function pathRow() {
  const path = back().path, names = ["in", ...range(D.blocks.length)];
  const at = path.map((line, j) => `${j ? `after block ${j - 1}` : "embedding"}: ${number(line[S.token])}`).join("; ");
  const name = `size of the gradient at token ${S.token}. ${at}`;
  const picture = heat(path, {scale: largest(path), high: 24, name, signed: false}) + "</svg>";
  return row("The path back", "size of the gradient at the embedding (in) and after each block", names, picture,
    `${24 * path.length}px`);
}

// ---- words and table

function saysForwards() {
  const e = example(), question = e.asked.indexOf(S.token);
  const head = `<h2>Token ${S.token}: ${named(S.token)}</h2>`;
  if (question < 0) return `${head}<p>Nothing is asked here. The output is not trained here, and is pale below.</p>`;
  const target = e.targets[question], said = e.said[question], v = e.shown.indexOf(said);
  const sure = v < 0 ? "" : ` with a probability of ${percent(e.p[v][S.token])} %`;
  const verdict = said === target ? "That is right."
    : `<span class="wrong">Wrong</span>: the answer is <b>${nameOf(target)}</b>.`;
  return `${head}<p>The task asks here. The model says <b>${nameOf(said)}</b>${sure}. ${verdict}</p>`;
}

function saysBackwards() {
  const e = example(), a = back(), target = e.targets[S.answer], said = e.said[S.answer];
  const mistake = said === target ? "" : `, <span class="wrong">the model says ${nameOf(said)}</span>`;
  const costs = a.costs.map((v, t) => [v, t]).filter(([v, t]) => t < asked() && v > 0).sort((x, y) => y[0] - x[0]);
  const most = costs.slice(0, 2).map(([v, t]) => `${named(t)} at ${t} (${loss(v)})`).join(" and ");
  return `<h2>Back from the answer to ${named(asked())} at ${asked()}</h2>`
    + `<p>The right answer is <b>${nameOf(target)}</b>${mistake}. Its lead over the mean logit of its kind is `
    + `<b id="lead">${number(a.lead)}</b>. The page is at token ${S.token}, ${named(S.token)}.`
    + (S.token === asked() ? " Step to the left, to follow it back.</p>" : "</p>")
    + (most ? `<p>Of the earlier tokens, these cost most when exchanged: ${most}.</p>` : "");
}

function table() {
  const e = example(), a = back(), i = S.block;
  const columns = a ? [["cost of an exchange", a.costs], ["size of the gradient at the embedding", a.path[0]]]
    : e.shown.map((token, v) => [`p(${D.names[token]})`, e.p[v]]);
  if (i !== undefined) {
    const mine = VIEWS[D.blocks[i].view].columns(D.blocks[i], e.blocks[i], a && a.blocks[i], S.row);
    columns.push(...mine.map(([name, values]) => [`block ${i}, ${rowName(i, S.row)}: ${name}`, values]));
  }
  const line = t => `<tr${t === S.token ? ' aria-current="true"' : ""}><th scope="row">${safe(plain(t))}</th>`
    + columns.map(([, values]) => `<td>${number(values[t], 4)}</td>`).join("") + "</tr>";
  return `<table><caption>${a ? `Backwards from the answer at token ${asked()}` : "Forwards"}</caption>`
    + `<thead><tr><td></td>${columns.map(([name]) => `<th scope="col">${safe(name)}</th>`).join("")}</tr></thead>`
    + `<tbody>${range(length()).map(line).join("")}</tbody></table>`;
}

// ---- draw

const button = (words, data) => `<button type="button" ${data}>${words}</button>`;
const press = (group, on) => {
  for (const one of byId(group).querySelectorAll("button")) one.setAttribute("aria-pressed", on(one.dataset));
};

function newSequence() { // the buttons that stay while one steps, so that the focus stays, too
  const e = example(), kinds = [...new Set(D.kinds)];
  const asks = t => e.asked.includes(t);
  const token = (one, t) => button(`<b>${safe(short(D.names[one]))}${asks(t) ? "?" : ""}</b><small>${t}</small>`,
    `class="token kind${kinds.indexOf(D.kinds[one])}${asks(t) ? " asked" : ""}" data-token="${t}" `
    + `aria-label="${safe(plain(t))}${asks(t) ? ", asked" : ""}"`);
  const answer = (t, a) => button(`${safe(short(D.names[e.tokens[t]]))}? <small>${t}</small>`,
    `data-answer="${a}" aria-label="back from the answer at ${safe(plain(t))}"`);
  byId("tokens").innerHTML = e.tokens.map(token).join("") + '<i class="now"></i>';
  byId("directions").innerHTML = button("forwards", 'data-answer=""') + '<span class="soft">back from</span>'
    + e.asked.map(answer).join("");
  byId("stage").style.setProperty("--tokens", length());
  byId("stage").classList.toggle("dense", length() > 16);
}

function draw() {
  S.token = clamp(S.token, 0, last());
  if (S.block !== undefined) S.row = clamp(S.row, 0, pictured(S.block).values.length - 1);
  byId("stage").style.setProperty("--token", S.token);
  for (const one of byId("tokens").querySelectorAll("button")) {
    one.classList.toggle("later", !filled(Number(one.dataset.token)));
    one.setAttribute("aria-current", Number(one.dataset.token) === S.token);
  }
  press("sequences", data => Number(data.sequence) === S.sequence);
  press("directions", data => data.answer === String(S.answer ?? ""));
  const pictures = VIEWED.map(blockRow);
  byId("rows").innerHTML = (back() ? [costRow(), ...pictures, pathRow()] : [...pictures, answerRow()]).join("");
  byId("say").innerHTML = back() ? saysBackwards() : saysForwards();
  byId("table").innerHTML = table();
  slider("token", last(), S.token, plain(S.token));
  if (S.block !== undefined) drawChosen();
  keepInView();
  clearTimeout(draw.later); // browsers refuse an address that changes often, as while a slider is dragged
  draw.later = setTimeout(write, 200);
}

function keepInView() { // on a narrow screen a long sequence is wider than the picture
  const stage = byId("stage"), room = stage.clientWidth;
  if (stage.scrollWidth > room) stage.scrollLeft = byId("tokens").children[S.token].offsetLeft - room / 2;
}

function drawChosen() { // the chosen row, beside the picture
  const block = D.blocks[S.block], name = rowName(S.block, S.row);
  const memory = block.memory ? `mean lag of its kernel: ${block.memory[S.row].toFixed(1)} tokens` : "";
  byId("block").value = S.block;
  byId("row-of").textContent = name;
  byId("memory").innerHTML = `<span class="print">block ${S.block}: ${safe(block.name)}, ${name}</span> ${memory}`;
  slider("row", pictured(S.block).values.length - 1, S.row, `${name} ${memory}`);
  const now = example().blocks[S.block], then = back() && back().blocks[S.block];
  byId("detail").innerHTML = VIEWS[block.view].detail(block, now, then, S.row);
}

function slider(id, max, value, words) {
  Object.assign(byId(id), {max, value});
  byId(id).setAttribute("aria-valuetext", words);
}

// ---- the state: address, buttons, keys

function write() {
  const state = {sequence: S.sequence, token: S.token, ...(back() && {answer: asked()})};
  if (S.block !== undefined) Object.assign(state, {block: S.block, row: S.row});
  try { history.replaceState(null, "", `#${new URLSearchParams(state)}`); } catch { /* a frame without an address */ }
}

function read() { // what is missing in the address, or doesn't fit, is replaced
  const given = new URLSearchParams(location.hash.slice(1));
  const of = name => given.has(name) ? Math.trunc(Number(given.get(name))) : NaN;
  S.sequence = clamp(of("sequence"), 0, D.examples.length - 1);
  newSequence();
  S.answer = example().asked.indexOf(of("answer"));
  if (S.answer < 0) S.answer = null;
  S.token = given.has("token") ? of("token") : example().asked[0];
  S.block = VIEWED.includes(of("block")) ? of("block") : VIEWED[VIEWED.length - 1];
  S.row = given.has("row") ? of("row") : S.block === undefined ? 0 : best(S.block);
  draw();
}

function turn(answer) { // back from an answer; null: forwards again
  S.answer = answer;
  if (back()) {
    S.token = asked();
    if (S.block !== undefined) S.row = best(S.block);
  }
  draw();
}

const change = state => { Object.assign(S, state); draw(); };

function cellOf(event) { // the block, row and token of a picture under the pointer
  const svg = event.target.closest("svg[data-block]");
  if (!svg) return null;
  const box = svg.getBoundingClientRect(), rows = svg.viewBox.baseVal.height;
  return {
    block: Number(svg.dataset.block),
    row: clamp(Math.floor((event.clientY - box.top) / box.height * rows), 0, rows - 1),
    token: clamp(Math.floor((event.clientX - box.left) / box.width * length()), 0, length() - 1),
  };
}

function listen() {
  const onButton = (group, then) => byId(group).onclick = event => {
    const one = event.target.closest("button");
    if (one) then(one.dataset);
  };
  onButton("sequences", data => {
    Object.assign(S, {sequence: Number(data.sequence), answer: null});
    newSequence();
    change({token: example().asked[0]});
  });
  onButton("directions", data => turn(data.answer === "" ? null : Number(data.answer)));
  onButton("tokens", data => change({token: Number(data.token)}));
  byId("left").onclick = () => change({token: S.token - 1});
  byId("right").onclick = () => change({token: S.token + 1});
  byId("token").oninput = event => change({token: Number(event.target.value)});
  byId("row").oninput = event => change({row: Number(event.target.value)});
  byId("block").onchange = ({target}) => change({block: Number(target.value), row: best(Number(target.value))});
  byId("rows").onclick = event => { const cell = cellOf(event); if (cell) change(cell); };
  byId("rows").onpointermove = event => {
    const cell = cellOf(event);
    if (!cell) return;
    const {block, row, token} = cell, v = pictured(block).values[row][token];
    const words = filled(token) ? number(v) : "not yet";
    event.target.closest(".cells").title = `${rowName(block, row)}, token ${token}: ${words}`;
  };
  document.onkeydown = event => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select, .scroll")) return;
    const keys = {
      ArrowLeft: () => change({token: S.token - 1}),
      ArrowRight: () => change({token: S.token + 1}),
      Home: () => change({token: 0}),
      End: () => change({token: last()}),
      b: () => turn(back() ? null : Math.max(0, example().asked.indexOf(S.token))),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  };
  window.onhashchange = read;
}

// ---- what stays the same

function introduction() {
  const share = v => `${(100 * v).toFixed(1)} %`, many = n => n.toLocaleString("en");
  const mistakes = D.wrong ? `The number of sequences with a mistake is ${many(D.wrong)}.`
    : "No sequence has a mistake, so the page shows none with a mistake.";
  return `${D.about} The model has ${many(D.size)} parameters. Of its answers in ${many(D.searched)} new sequences, `
    + `${share(D.accuracy)} are right. The baseline, without using what the task tests, is ${share(D.baseline)}. `
    + mistakes;
}

function needs({tokens, answers, exchange, gradient}) {
  const costs = tokens > 1 ? `${tokens} tokens that hold the answer have the ${tokens} largest costs`
    : "token that holds the answer has the largest cost";
  const gradients = tokens > 1 ? `they have the ${tokens} largest gradients (times the embedding)`
    : "it has the largest gradient (times the embedding)";
  return `Counted for this model in ${answers} answers of new sequences: ${exchange} times, the ${costs}; `
    + `${gradient} times, ${gradients}.`;
}

function begin() {
  byId("spec").textContent = D.spec;
  byId("task").textContent = D.task;
  document.title = `Watch ${D.spec} on ${D.task}`;
  byId("about").textContent = introduction();
  const [circle, ...squares] = new Set(D.kinds);
  if (squares.length) byId("kinds").textContent = `; circle: ${circle}, square: ${squares.join(", ")}`;
  if (D.needs) byId("needs").textContent = needs(D.needs);
  byId("sequences").innerHTML = D.examples.map((e, i) => {
    const mistakes = e.said.filter((token, a) => token !== e.targets[a]).length;
    const words = mistakes ? `${mistakes} of ${e.asked.length} wrong` : "all right";
    return button(`${i + 1}: ${words}`, `data-sequence="${i}"`);
  }).join("");
  byId("block").innerHTML = VIEWED.map(i => `<option value="${i}">${i}: ${safe(D.blocks[i].name)}</option>`).join("");
  byId("chosen").hidden = !VIEWED.length;
  listen();
  read();
}
begin();
