// The page of `codeword serve`. The server keeps nothing: the file, its codes and all changes are here.

const $ = (id) => document.getElementById(id);
const state = { model: null, file: null, original: null, first: null, codes: null, shape: null, size: null,
  bits: null, counts: [], cell: null, marked: new Set() };

// Requests -------------------------------------------------------------------------------------------

async function ask(path, body, headers = {}) {
  const answer = await fetch(path, body === undefined ? {} : { method: "POST", body, headers });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Error(told.error ?? `The server answered ${answer.status}.`);
}

const api = (name, query = {}) => `/api/${state.model.name.split("/").map(encodeURIComponent).join("/")}/${name}?${new URLSearchParams(query)}`;
const askJson = (name, content) => ask(api(name), JSON.stringify(content), { "Content-Type": "application/json" });

async function working(what, work) {
  $("status").textContent = `${what} …`;
  $("error").hidden = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    $("error").textContent = error.message;
    $("error").hidden = false;
  }
  $("status").textContent = "";
  document.body.removeAttribute("aria-busy");
}

// Elements -------------------------------------------------------------------------------------------

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function options(select, entries) {
  select.replaceChildren(...entries.map(([value, text]) => element("option", { value, textContent: text })));
}

function figure(caption, ...content) {
  return element("figure", {}, ...content, element("figcaption", { textContent: caption }));
}

const isAudio = () => state.model.medium === "audio";
const rank = () => state.shape.length - 1;
const codesOf = (cell) => state.codes.slice(cell * state.shape.at(-1), (cell + 1) * state.shape.at(-1));
// Rows and columns of the map: a picture's grid, or of a recording one row for each code.
const rows = () => (rank() === 1 ? state.shape[1] : state.shape[0]);
const columns = () => (rank() === 1 ? state.shape[0] : state.shape[1]);

async function player(blob, caption) {
  const url = URL.createObjectURL(blob);
  const canvas = element("canvas", { width: 640, height: 96, role: "img", ariaLabel: `Waveform: ${caption}` });
  const sound = await new OfflineAudioContext(1, 1, state.model.sample_rate).decodeAudioData(await blob.arrayBuffer());
  const samples = sound.getChannelData(0), context = canvas.getContext("2d");
  context.fillStyle = "#0b5cad";
  for (let x = 0; x < canvas.width; x++) {
    const from = Math.floor((x * samples.length) / canvas.width);
    const part = samples.subarray(from, Math.max(from + 1, Math.floor(((x + 1) * samples.length) / canvas.width)));
    const [low, high] = [part.reduce((a, b) => Math.min(a, b), 0), part.reduce((a, b) => Math.max(a, b), 0)];
    context.fillRect(x, 48 - 48 * high, 1, Math.max(1, 48 * (high - low)));
  }
  return figure(caption, canvas, element("audio", { controls: true, src: url, ariaLabel: caption }));
}

async function picture(blob, caption) {
  const image = element("img", { src: URL.createObjectURL(blob), alt: caption });
  await image.decode();
  return figure(caption, image);
}

const shown = (blob, caption) => (isAudio() ? player(blob, caption) : picture(blob, caption));

function pixels(image) {
  const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  return [canvas, context, context.getImageData(0, 0, canvas.width, canvas.height)];
}

// The absolute error of each pixel, and the PSNR.
function errorFigure(original, decoded) {
  const [canvas, context, a] = pixels(original);
  const [, , b] = pixels(decoded);
  let sum = 0;
  for (let i = 0; i < a.data.length; i += 4) {
    for (let channel = i; channel < i + 3; channel++) {
      const difference = Math.abs(a.data[channel] - b.data[channel]);
      sum += difference * difference;
      a.data[channel] = 255 - Math.min(255, 4 * difference);
    }
  }
  context.putImageData(a, 0, 0);
  const psnr = 10 * Math.log10((255 * 255 * a.data.length * 0.75) / Math.max(sum, 1e-9));
  canvas.role = "img";
  canvas.ariaLabel = "Error of each pixel";
  return figure(`Error, four times enlarged: ${psnr.toFixed(1)} dB PSNR`, canvas);
}

// Files ----------------------------------------------------------------------------------------------

async function open(file) {
  await working(`Encoding ${file.name}`, async () => {
    const answer = await (await ask(api("encode", { name: file.name }), file)).json();
    const bytes = Uint8Array.from(atob(answer.original), (letter) => letter.charCodeAt(0));
    const original = new Blob([bytes], { type: isAudio() ? "audio/wav" : "image/png" });
    Object.assign(state, { file, original, first: answer.codes, size: answer.size, shape: answer.shape });
    Object.assign(state, { cell: null, layer: 0, marked: new Set(), notes: answer.notes });
    $("cell-facts").textContent = "Point at a cell, or click it to change its code.";
    $("cell-signal").replaceChildren();
    $("codeword").disabled = $("set").disabled = true;
    $("work").hidden = false;
    await changed([...answer.codes]);
  });
}

async function changed(codes) {
  state.codes = codes;
  state.counts = state.model.codebook_sizes.map((size) => new Uint32Array(size));
  codes.forEach((code, i) => state.counts[i % state.shape.at(-1)][code]++);
  await Promise.all([decode(), costs()]);
  drawMap();
  palette();
}

function kept(count) {
  const k = state.shape.at(-1);
  return state.codes.filter((_, i) => i % k < count);
}

async function decoded(count) {
  const label = $("voice").value === "" ? null : Number($("voice").value);
  const asked = { codes: kept(count), shape: [...state.shape.slice(0, -1), count], size: state.size, label };
  return (await askJson("decode", asked)).blob();
}

async function decode() {
  const original = await shown(state.original, "Original");
  const figures = [original];
  const counts = isAudio() && $("keep").value === "all" ? state.model.served_codes : [Number($("keep").value) || state.shape.at(-1)];
  for (const count of counts) {
    state.decoded = await decoded(count);
    const caption = state.shape.at(-1) > 1 ? `Decoded from ${count} of ${state.shape.at(-1)} codes` : "Reconstruction";
    figures.push(await shown(state.decoded, caption));
  }
  if (!isAudio()) figures.push(errorFigure(original.querySelector("img"), figures[1].querySelector("img")));
  $("signals").replaceChildren(...figures);
}

async function costs() {
  state.bits = null;
  const told = [`${state.shape.slice(0, -1).join(" × ")} cells`, ...(state.notes ?? [])];
  try {
    const count = Number($("keep").value) || state.shape.at(-1);
    const asked = { codes: kept(count), shape: [...state.shape.slice(0, -1), count] };
    state.bits = (await (await askJson("bits", asked)).json()).bits;
    const bits = state.bits.reduce((a, b) => a + b, 0);
    told.unshift(`${Math.ceil(bits / 8).toLocaleString("en")} bytes of codes under the prior`);
    if (isAudio()) told.unshift(`${Math.round((bits * state.model.sample_rate) / state.size[0]).toLocaleString("en")} bit/s`);
  } catch (error) {
    told.unshift(error.message);
  }
  $("facts").textContent = told.join(" · ");
}

// The code map ---------------------------------------------------------------------------------------

// Width and height of a cell in pixels; of a recording, the rows of a few codes are high.
function scale() {
  const width = Math.max(3, Math.min(28, Math.floor(640 / columns())));
  return [width, rank() === 1 ? Math.max(width, 20) : width];
}
const cellAt = (row, column) => (rank() === 1 ? column : row * columns() + column);
const layerAt = (row) => (rank() === 1 ? row : Number($("layer").value));

function drawMap() {
  const canvas = $("map"), [width, height] = scale(), context = canvas.getContext("2d");
  canvas.width = columns() * width;
  canvas.height = rows() * height;
  const showBits = $("show").value === "bits" && state.bits;
  const most = showBits ? Math.max(...state.bits, 1e-9) : 1;
  for (let row = 0; row < rows(); row++) {
    for (let column = 0; column < columns(); column++) {
      const cell = cellAt(row, column), layer = layerAt(row);
      const code = state.codes[cell * state.shape.at(-1) + layer];
      // Neighbouring numbers get hues far apart, by the golden angle.
      context.fillStyle = showBits
        ? `hsl(210 70% ${95 - (65 * state.bits[cell]) / most}%)`
        : `hsl(${(code * 137.508) % 360} 55% ${55 + ((code * 7) % 25)}%)`;
      context.fillRect(column * width, row * height, width, height);
      if (state.marked.has(cell) || cell === state.cell) {
        context.strokeStyle = cell === state.cell ? "#000" : "#fff";
        context.lineWidth = 2;
        context.strokeRect(column * width + 1, row * height + 1, width - 2, height - 2);
      }
    }
  }
  $("redraw").disabled = state.marked.size === 0 || !state.model.draws;
}

function placeOf(event) {
  const box = $("map").getBoundingClientRect(), [width, height] = scale();
  const column = Math.floor((event.clientX - box.left) / width), row = Math.floor((event.clientY - box.top) / height);
  const inside = column >= 0 && row >= 0 && column < columns() && row < rows();
  return inside ? { row, column, cell: cellAt(row, column), layer: layerAt(row) } : null;
}

function describe(cell, layer) {
  const code = codesOf(cell)[layer], place = rank() === 1 ? `${cell}` : `${Math.floor(cell / columns())}, ${cell % columns()}`;
  const bits = state.bits ? `, ${state.bits[cell].toFixed(1)} bits for the cell under the prior` : "";
  $("cell-facts").textContent = `Cell ${place}: codeword ${code}, ${state.counts[layer][code]} times here${bits}.`;
}

let asked = 0;
async function preview(cell) {
  const number = ++asked;
  const blob = await (await askJson("cell", { codes: codesOf(cell) })).blob();
  // Only the last of several questions is shown.
  if (number === asked) $("cell-signal").replaceChildren(await shown(blob, "These codes alone"));
}

function select(cell, layer) {
  state.cell = cell;
  state.layer = layer;
  describe(cell, layer);
  $("codeword").disabled = $("set").disabled = false;
  $("codeword").max = state.model.codebook_sizes[layer] - 1;
  $("codeword").value = codesOf(cell)[layer];
  drawMap();
  preview(cell).catch((error) => ($("cell-facts").textContent = error.message));
}

function set(code) {
  if (state.cell === null) return;
  const codes = [...state.codes];
  codes[state.cell * state.shape.at(-1) + state.layer] = code;
  working("Decoding", async () => {
    await changed(codes);
    select(state.cell, state.layer);
  });
}

function palette() {
  const { layer } = state;
  const used = [...state.counts[layer].entries()].sort((a, b) => b[1] - a[1]).slice(0, 12);
  $("palette").replaceChildren(...used.map(([code]) => element("button", { textContent: code, onclick: () => set(code) })));
}

function redraw() {
  const settings = { label: classNumber(), temperature: Number($("temperature").value), seed: Number($("seed").value) };
  working("Drawing", async () => {
    const request = { codes: state.codes, shape: state.shape, mask: [...state.marked], ...settings };
    const answer = await (await askJson("redraw", request)).json();
    state.marked = new Set();
    await changed(answer.codes);
  });
}

// Samples --------------------------------------------------------------------------------------------

const classNumber = () => ($("class").value === "" ? null : Number($("class").value));

function sample() {
  const settings = { label: classNumber(), temperature: Number($("temperature").value), seed: Number($("seed").value) };
  working("Drawing", async () => {
    const drawn = await (await askJson("sample", settings)).json();
    const blob = await (await askJson("decode", { ...drawn, label: null })).blob();
    const name = `seed ${settings.seed}, temperature ${settings.temperature}`;
    const made = await shown(blob, name);
    const look = element("button", { textContent: "Look inside" });
    look.onclick = () => open(new File([blob], `sample.${state.model.format}`));
    made.append(look);
    $("samples").prepend(made);
    $("seed").value = settings.seed + 1;
  });
}

// The microphone -------------------------------------------------------------------------------------

let recorder = null;
async function record() {
  if (recorder) return recorder.stop();
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = async () => {
    recorder = null;
    $("record").textContent = "Record";
    stream.getTracks().forEach((track) => track.stop());
    const context = new AudioContext();
    const sound = await context.decodeAudioData(await new Blob(parts).arrayBuffer());
    open(new File([wav(sound.getChannelData(0), sound.sampleRate)], "recording.wav"));
  };
  recorder.start();
  $("record").textContent = "Stop recording";
}

function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (place, letters) => [...letters].forEach((letter, i) => view.setUint8(place + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, rate, 4], [28, 2 * rate, 4], [32, 2, 2], [34, 16, 2]].forEach(
    ([place, value, bytes]) => (bytes === 4 ? view.setUint32(place, value, true) : view.setUint16(place, value, true)));
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, x)) * 32767, true));
  return view.buffer;
}

// Start ----------------------------------------------------------------------------------------------

function save(blob, name) {
  element("a", { href: URL.createObjectURL(blob), download: name }).click();
}

function choose(model) {
  state.model = model;
  const count = model.codebook_sizes.length, audio = isAudio();
  $("work").hidden = true;
  $("error").hidden = true;
  $("samples").replaceChildren();
  $("about").textContent = `${count} ${count === 1 ? "code" : "codes"} out of ${model.codebook_sizes.join(", ")} for each `
    + (audio ? `${model.hop} samples at ${model.sample_rate} Hz` : `${model.hop} × ${model.hop} pixels`);
  $("file").accept = model.suffixes.join(",");
  $("record").hidden = !audio || !navigator.mediaDevices;
  options($("keep"), [...(audio && count > 1 ? [["all", "every rate"]] : []), ...[...model.served_codes].reverse().map((n) => [n, n])]);
  $("keep-label").hidden = model.served_codes.length === 1;
  options($("layer"), model.codebook_sizes.map((_, k) => [k, k + 1]));
  $("layer-label").hidden = audio || count === 1;
  options($("voice"), [["", "none"], ...model.voices.map((name, i) => [i, name])]);
  $("voice-label").hidden = model.voices.length === 0;
  options($("class"), [["", "any"], ...Array.from({ length: model.classes }, (_, i) => [i, model.voices[i] ?? i])]);
  $("sampling").hidden = !model.draws;
}

const { models } = await (await ask("/api/models")).json();
options($("model"), models.map((model) => [model.name, model.name]));
$("model").onchange = () => choose(models.find((model) => model.name === $("model").value));
choose(models[0]);

$("file").onchange = () => $("file").files[0] && open($("file").files[0]);
$("drop").ondragover = (event) => (event.preventDefault(), $("drop").classList.add("over"));
$("drop").ondragleave = () => $("drop").classList.remove("over");
$("drop").ondrop = (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
};
$("record").onclick = () => record().catch((error) => working("Recording", () => Promise.reject(error)));
$("keep").onchange = $("voice").onchange = () => working("Decoding", () => changed(state.codes));
$("undo").onclick = () => working("Decoding", () => changed([...state.first]));
$("show").onchange = $("layer").onchange = drawMap;
$("set").onclick = () => {
  const code = Number($("codeword").value), size = state.model.codebook_sizes[state.layer];
  if (Number.isInteger(code) && code >= 0 && code < size) return set(code);
  working("Changing", () => Promise.reject(new Error(`The codewords of this code are 0 to ${size - 1}.`)));
};
$("redraw").onclick = redraw;
$("sample").onclick = sample;
$("save-cw").onclick = () => working("Compressing", async () => {
  const count = Number($("keep").value) || state.shape.at(-1);
  const query = { name: state.file.name, ...(count < state.shape.at(-1) ? { codes: count } : {}) };
  save(await (await ask(api("compress", query), state.file)).blob(), `${state.file.name.replace(/\.[^.]*$/, "")}.cw`);
});
$("save-signal").onclick = () => save(state.decoded, `decoded.${state.model.format}`);

let dragging = false, resting = 0;
$("map").onpointerdown = (event) => {
  const place = placeOf(event);
  if (!place) return;
  dragging = $("brush").checked;
  if (dragging) { state.marked.add(place.cell); drawMap(); } else { select(place.cell, place.layer); palette(); }
};
$("map").onpointermove = (event) => {
  const place = placeOf(event);
  if (!place) return;
  if (dragging) { state.marked.add(place.cell); drawMap(); return; }
  describe(place.cell, place.layer);
  clearTimeout(resting);
  // A pointer that rests on a cell asks what its codes decode to.
  resting = setTimeout(() => preview(place.cell).catch(() => {}), 80);
};
$("map").onpointerleave = () => {
  clearTimeout(resting);
  if (state.cell === null) return;
  describe(state.cell, state.layer);
  preview(state.cell).catch(() => {});
};
window.onpointerup = () => (dragging = false);
$("map").onkeydown = (event) => {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!steps) return;
  event.preventDefault();
  const cell = state.cell ?? 0, audio = rank() === 1;
  const from = audio ? [state.layer, cell] : [Math.floor(cell / columns()), cell % columns()];
  const row = Math.max(0, Math.min(rows() - 1, from[0] + steps[0]));
  const column = Math.max(0, Math.min(columns() - 1, from[1] + steps[1]));
  select(cellAt(row, column), layerAt(row));
};
document.documentElement.dataset.ready = "yes";
