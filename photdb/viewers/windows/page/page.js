"use strict";
// Shows the pictures that photdb sends and sends mouse and keys back. Nothing is kept here: after a lost connection
// the page asks again and shows what there is.

const canvas = document.getElementById("window");
const context = canvas.getContext("2d");
const note = document.getElementById("note");

let socket = null;
let isClosed = false;
let unanswered = 0; // events that photdb has not dealt with yet
let motion = null; // the latest one, waiting for its turn
let drawn = Promise.resolve(); // pictures are shown in the order they came in

function connect() {
  const address = new URL("ws", location.href);
  address.protocol = "ws:";
  socket = new WebSocket(address);
  socket.binaryType = "blob";
  socket.onopen = () => {
    unanswered = 0;
    motion = null;
    note.textContent = "";
    send({ type: "set_device_pixel_ratio", device_pixel_ratio: window.devicePixelRatio || 1 });
    resize();
    send({ type: "refresh" });
    canvas.focus();
  };
  socket.onmessage = (message) => {
    if (typeof message.data === "string") {
      told(JSON.parse(message.data));
    } else {
      drawn = drawn.then(() => show(message.data)).catch(console.error);
    }
  };
  socket.onclose = () => {
    if (!isClosed) {
      note.textContent = "The connection is lost. Nothing is lost with it: trying again…";
      setTimeout(connect, 1000);
    }
  };
}

function told(message) {
  if (message.type === "done") {
    unanswered = Math.max(0, unanswered - 1);
    if (unanswered === 0) {
      sendMotion();
    }
  } else if (message.type === "figure_label") {
    document.title = message.label;
  } else if (message.type === "closed") {
    isClosed = true;
    note.textContent = message.text;
  }
}

async function show(blob) {
  const [x, y, width, height] = new Uint16Array(await blob.slice(0, 8).arrayBuffer());
  const picture = await createImageBitmap(blob.slice(8));
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  context.drawImage(picture, x, y);
  picture.close();
}

function send(event) {
  if (socket !== null && socket.readyState === WebSocket.OPEN && !isClosed) {
    unanswered += 1;
    socket.send(JSON.stringify(event));
  }
}

function resize() {
  send({ type: "resize", width: canvas.clientWidth, height: canvas.clientHeight });
}

function modifiers(event) {
  return [["ctrl", event.ctrlKey], ["alt", event.altKey], ["shift", event.shiftKey], ["super", event.metaKey]]
    .filter(([, isDown]) => isDown).map(([name]) => name);
}

function mouse(type, event, more = {}) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  const told = {
    type, x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale,
    button: event.button, buttons: event.buttons, modifiers: modifiers(event), guiEvent: {}, ...more,
  };
  if (type === "motion_notify") {
    if (unanswered > 0) {
      motion = told;
      return;
    }
  } else {
    sendMotion();
  }
  send(told);
}

function sendMotion() { // where the mouse went comes before what is done there
  const latest = motion;
  motion = null;
  if (latest !== null) {
    send(latest);
  }
}

const fingers = new Map(); // where each finger is
let first = null; // where the latest one was put down
let isPressed = false; // a button is down, or a finger that may drag
let longPressTimer = 0;
let spread = 1; // the distance of two fingers when they last turned the wheel

function pinch() {
  const [a, b] = [...fingers.values()];
  return { distance: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), clientX: (a.clientX + b.clientX) / 2,
    clientY: (a.clientY + b.clientY) / 2 };
}

function forgetPress() { // what one finger began ends where it means nothing
  send({ type: "button_release", x: -9999, y: -9999, button: 0, buttons: 0, modifiers: [], guiEvent: {} });
}

function longPress(event) { // a right click; browsers do not agree about `contextmenu` on a touch screen
  isPressed = false;
  forgetPress();
  mouse("button_press", event, { button: 2, buttons: 2 });
  mouse("button_release", event, { button: 2, buttons: 0 });
}

canvas.addEventListener("pointerdown", (event) => {
  event.preventDefault();
  canvas.focus();
  canvas.setPointerCapture(event.pointerId);
  clearTimeout(longPressTimer);
  if (event.pointerType === "touch") {
    fingers.set(event.pointerId, event);
    first = event;
    longPressTimer = fingers.size === 1 ? setTimeout(longPress, 600, event) : 0;
  }
  if (fingers.size < 2) {
    isPressed = true;
    mouse("button_press", event);
  } else if (isPressed) { // two fingers zoom
    isPressed = false;
    spread = pinch().distance;
    forgetPress();
  }
});
canvas.addEventListener("pointermove", (event) => {
  if (fingers.has(event.pointerId)) {
    fingers.set(event.pointerId, event);
    if (Math.hypot(event.clientX - first.clientX, event.clientY - first.clientY) > 8) {
      clearTimeout(longPressTimer);
    }
  }
  if (isPressed || event.pointerType !== "touch") {
    mouse("motion_notify", event);
  } else if (fingers.size === 2) {
    const { distance, ...middle } = pinch();
    const step = Math.log(distance / spread) / Math.log(1.3);
    if (Math.abs(step) > 0.3) {
      spread = distance;
      mouse("scroll", { ...middle, button: 0, buttons: 0 }, { step });
    }
  }
});
for (const kind of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(kind, (event) => {
    clearTimeout(longPressTimer);
    fingers.delete(event.pointerId);
    if (isPressed) {
      isPressed = false;
      mouse("button_release", event);
    }
  });
}
canvas.addEventListener("pointerenter", (event) => mouse("figure_enter", event));
canvas.addEventListener("pointerleave", (event) => mouse("figure_leave", event));
canvas.addEventListener("wheel", (event) => {
  mouse("scroll", event, { step: event.deltaY < 0 ? 1 : -1 });
  event.preventDefault();
}, { passive: false });
canvas.addEventListener("contextmenu", (event) => event.preventDefault());

function key(type, event) {
  if (event.isComposing || (event.metaKey && event.key !== "Meta")) {
    return; // the browser's own
  }
  if (event.ctrlKey && !["z", "s", "Control"].includes(event.key)) {
    return;
  }
  const held = event.ctrlKey && event.key !== "Control" ? "ctrl+"
    : event.altKey && event.key !== "Alt" ? "alt+"
    : event.shiftKey && event.key !== "Shift" ? "shift+" : "";
  sendMotion();
  send({ type, key: `${held}k${event.key}`, guiEvent: {} });
  event.preventDefault();
}
canvas.addEventListener("keydown", (event) => key("key_press", event));
canvas.addEventListener("keyup", (event) => key("key_release", event));
document.addEventListener("keydown", (event) => {
  if (document.activeElement !== canvas) {
    canvas.focus();
    key("key_press", event);
  }
});
window.addEventListener("resize", resize);
connect();
