// The life of a view: one per mounted element, drawn at most once per frame, gone without trace.

/**
 * The default export of a view in three methods. Streamlit calls it again for every new `data`, and may call the
 * clean-up of an older run after the start of a newer one; only the newest run may tear down.
 *
 * @param {WeakMap<object, any>} instances
 * @param {any} component
 * @param {(root: HTMLElement) => {update: (component: any) => void, destroy: () => void, runs?: number}} create
 * @returns {() => void}
 */
export function liveView(instances, component, create) {
  const { parentElement } = component;
  let instance = instances.get(parentElement);
  if (!instance) {
    const root = parentElement.querySelector(".cl-root");
    root.replaceChildren();
    instance = create(root);
    instance.runs = 0;
    instances.set(parentElement, instance);
  }
  instance.runs += 1;
  const run = instance.runs;
  instance.update(component);
  return () => {
    if (instance.runs !== run) return;
    instance.destroy();
    instances.delete(parentElement);
  };
}

/**
 * @param {string} tag
 * @param {Record<string, any>} [properties] Attributes; `text` is the text, `class` the class name.
 * @param {(Node | string)[]} [children]
 * @returns {any}
 */
export function element(tag, properties = {}, children = []) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/**
 * @param {string} path Outline on a 16 × 16 field.
 * @returns {SVGElement}
 */
export function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/**
 * Gives a canvas one dot per device pixel and returns its context in CSS pixels.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width CSS pixels.
 * @param {number} height CSS pixels.
 * @returns {CanvasRenderingContext2D}
 */
export function sharpContext(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  const columns = Math.max(1, Math.round(width * scale));
  const rows = Math.max(1, Math.round(height * scale));
  // Setting the size clears the canvas and is slow, so it is done only when it changes.
  if (canvas.width !== columns) canvas.width = columns;
  if (canvas.height !== rows) canvas.height = rows;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * @param {() => void} draw
 * @returns {{ask: () => void, stop: () => void}} `ask` draws in the next frame, once however often it is called.
 */
export function oncePerFrame(draw) {
  let handle = 0;
  return {
    ask() {
      if (handle) return;
      handle = requestAnimationFrame(() => {
        handle = 0;
        draw();
      });
    },
    stop() {
      cancelAnimationFrame(handle);
      handle = 0;
    },
  };
}

/**
 * @param {HTMLElement} root
 * @returns {{text: string, background: string, border: string, primary: string, font: string}}
 */
export function themeOf(root) {
  const style = getComputedStyle(root);
  const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    text: read("--st-text-color", "#222"),
    background: read("--st-background-color", "#fff"),
    border: read("--st-border-color", "#bbb"),
    primary: read("--st-primary-color", "#06c"),
    font: style.fontFamily,
  };
}

/**
 * Streamlit listens for r, c and Escape at the document, where a key pressed inside a shadow root no longer looks
 * as if it came from a form field. So no plain key leaves a view.
 *
 * @param {KeyboardEvent} event
 */
export function keepKey(event) {
  if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
}
