// A picture to codes and back by the ONNX files of `codeword export`, with ONNX Runtime in the browser.
// The server only sends files.

const $ = (id) => document.getElementById(id);
const CELL = 8; // Pixels of the code map for each cell.
let model; // The runtime, a session for each ONNX file, and the sizes of the codebooks.
let file; // The picture that is open.
let shown; // Its codes, with the number of rows, columns and codes of a cell.
let cell = 0; // The cell that is described.

// Work -----------------------------------------------------------------------------------------------

// One piece of work waits for the one before, because a session runs once at a time.
let queue = Promise.resolve();

function working(what, work) {
  queue = queue.then(async () => {
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
  });
}

async function fetched(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} is missing; export a model into this folder as its README says.`);
  return answer;
}

async function load() {
  const ort = await import("./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs").catch(() => {
    throw new Error("onnxruntime-web is missing; run “npm install” in this folder.");
  });
  // More threads need memory that is shared, which browsers allow only with headers that a plain server does not send.
  ort.env.wasm.numThreads = 1;
  // In a worker, so that the page answers while the model computes.
  ort.env.wasm.proxy = true;
  const config = await (await fetched("model/config.json")).json();
  const codebookSizes = config.quantizer.codebook_sizes;
  if (config.ndim !== 2 || config.channels !== 3 || config.conditional || !codebookSizes) {
    throw new Error("This page serves models of colour pictures with codebooks and without classes; export such a model.");
  }
  const session = async (name) =>
    ort.InferenceSession.create(await (await fetched(`model/onnx/${name}.onnx`)).arrayBuffer());
  return { ort, codebookSizes, encoder: await session("encoder"), decoder: await session("decoder") };
}

// Pictures and codes ---------------------------------------------------------------------------------

// Pixels (height, width, 4) of a file, on white where it is transparent.
async function pixelsOf(picture, side) {
  const bitmap = await createImageBitmap(picture).catch(() => {
    throw new Error(`${picture.name} is not a picture that this browser can read.`);
  });
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((size) => Math.max(1, Math.round(size * scale)));
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// A tensor (1, rows, columns, codes of a cell). The encoder takes integers (1, 3, height, width).
async function encode({ data, width, height }) {
  const area = width * height, x = new BigInt64Array(3 * area);
  for (let i = 0; i < area; i++) {
    for (let channel = 0; channel < 3; channel++) x[channel * area + i] = BigInt(data[4 * i + channel]);
  }
  return (await model.encoder.run({ x: new model.ort.Tensor("int64", x, [1, 3, height, width]) })).codes;
}

// The decoder gives whole cells (1, 3, rows * hop, columns * hop), so the picture is cut out of them.
async function decode(codes, width, height) {
  const { signal } = await model.decoder.run({ codes });
  const [, , tall, wide] = signal.dims, picture = new ImageData(width, height);
  picture.data.fill(255);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        // The array of an ImageData rounds, and keeps values in 0 to 255.
        picture.data[4 * (y * width + x) + channel] = signal.data[(channel * tall + y) * wide + x];
      }
    }
  }
  return picture;
}

// Peak signal-to-noise ratio in decibels, over red, green and blue.
function psnr(a, b) {
  let squares = 0;
  for (let i = 0; i < a.data.length; i++) squares += (a.data[i] - b.data[i]) ** 2;
  // The fourth value, which is 255 in both, adds nothing.
  return 10 * Math.log10(255 ** 2 / (squares / (3 * a.width * a.height)));
}

// Codes (rows, columns, codes of a cell) as a .npy file, which NumPy reads.
function npy({ numbers, rows, columns, codes }) {
  const header = `{'descr': '<i8', 'fortran_order': False, 'shape': (${rows}, ${columns}, ${codes}), }`;
  const length = Math.ceil((header.length + 11) / 64) * 64 - 10; // With the 10 bytes in front, a multiple of 64.
  const start = Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, length % 256, Math.floor(length / 256));
  return new Blob([start, `${header.padEnd(length - 1)}\n`, numbers]);
}

// The page -------------------------------------------------------------------------------------------

function draw(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function drawMap() {
  const canvas = $("map"), context = canvas.getContext("2d");
  canvas.width = shown.columns * CELL;
  canvas.height = shown.rows * CELL;
  for (let i = 0; i < shown.rows * shown.columns; i++) {
    const code = Number(shown.numbers[i * shown.codes]);
    // Neighbouring numbers get hues far apart, by the golden angle.
    context.fillStyle = `hsl(${(code * 137.508) % 360} 55% ${55 + ((code * 7) % 25)}%)`;
    context.fillRect((i % shown.columns) * CELL, Math.floor(i / shown.columns) * CELL, CELL, CELL);
  }
}

function describe(chosen) {
  drawMap();
  cell = chosen;
  const [row, column] = [Math.floor(cell / shown.columns), cell % shown.columns];
  const context = $("map").getContext("2d");
  context.lineWidth = 2;
  context.strokeRect(column * CELL + 1, row * CELL + 1, CELL - 2, CELL - 2);
  const codes = shown.numbers.slice(cell * shown.codes, (cell + 1) * shown.codes);
  $("cell").textContent = `Row ${row}, column ${column}: code ${codes.join(", ")}`;
}

function open() {
  if (!file) return;
  working("Encoding and decoding", async () => {
    model ??= await load();
    const pixels = await pixelsOf(file, Number($("side").value));
    const codes = await encode(pixels);
    const [, rows, columns, perCell] = codes.dims;
    // Copied, because a tensor that goes to the worker takes its memory along.
    const made = { numbers: codes.data.slice(), rows, columns, codes: perCell };
    const picture = await decode(codes, pixels.width, pixels.height);
    shown = made;
    draw($("original"), pixels);
    draw($("reconstruction"), picture);
    drawMap();
    const bits = rows * columns * model.codebookSizes.reduce((sum, size) => sum + Math.log2(size), 0);
    const pixelBits = 24 * pixels.width * pixels.height;
    $("quality").textContent = `Reconstruction, ${psnr(pixels, picture).toFixed(2)} dB PSNR`;
    $("facts").textContent = `${pixels.width} × ${pixels.height} pixels of ${pixelBits.toLocaleString("en")} bits become `
      + `${columns} × ${rows} cells with codes of ${Math.ceil(bits).toLocaleString("en")} bits in total, `
      + `${(pixelBits / bits).toFixed(1)} times fewer.`;
    $("cell").textContent = "Point at a cell of the code map to see its code.";
    $("result").hidden = false;
  });
}

function choose(files) {
  if (files.length) [file] = files;
  open();
}

$("file").onchange = (event) => choose(event.target.files);
$("side").onchange = open;
$("drop").ondragover = (event) => { event.preventDefault(); $("drop").classList.add("over"); };
$("drop").ondragleave = () => $("drop").classList.remove("over");
$("drop").ondrop = (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  choose(event.dataTransfer.files);
};
$("map").onpointermove = ({ offsetX, offsetY }) => {
  const { clientWidth, clientHeight } = $("map");
  const place = (offset, size, count) => Math.max(0, Math.min(count - 1, Math.floor((offset / size) * count)));
  describe(place(offsetY, clientHeight, shown.rows) * shown.columns + place(offsetX, clientWidth, shown.columns));
};
$("map").onkeydown = (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -shown.columns, ArrowDown: shown.columns }[event.key];
  if (!step) return;
  event.preventDefault();
  describe(Math.max(0, Math.min(shown.rows * shown.columns - 1, cell + step)));
};
$("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(npy(shown));
  link.download = "codes.npy";
  link.click();
};

working("Loading the model", async () => { model = await load(); });
