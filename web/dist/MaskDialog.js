import { r as __toESM } from "./rolldown-runtime.js";
import { S as require_react, v as require_jsx_runtime } from "./vendor.js";
import { $ as setValue, B as loadUploads, I as say, K as t, L as show, O as upload, S as Icon, X as edit, it as newKey, nt as assetUrl } from "./editor.js";
import { n as Dialog } from "./dialogs.js";
// src/panels/MaskDialog.tsx
var import_react = /* @__PURE__ */ __toESM(require_react(), 1);
var import_jsx_runtime = require_jsx_runtime();
var load = (address) => new Promise((resolve, reject) => {
	const image = new Image();
	image.onload = () => resolve(image);
	image.onerror = reject;
	image.src = address;
});
var contextOf = (canvas) => canvas?.getContext("2d", { willReadFrequently: true }) ?? null;
/** The picture with the painted part made transparent: what Load Image reads as its mask. */
function withHole(picture, mask) {
	const canvas = document.createElement("canvas");
	[canvas.width, canvas.height] = [mask.width, mask.height];
	const context = contextOf(canvas);
	context?.drawImage(picture, 0, 0);
	if (context) context.globalCompositeOperation = "destination-out";
	context?.drawImage(mask, 0, 0);
	return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
/** Paints a mask over a picture: brush and eraser with pen, touch or mouse; undo; invert. */
function MaskDialog({ node, input, asset }) {
	const canvas = (0, import_react.useRef)(null);
	const picture = (0, import_react.useRef)(null);
	const past = (0, import_react.useRef)([]);
	const last = (0, import_react.useRef)(null);
	const [size, setSize] = (0, import_react.useState)(32);
	const [erase, setErase] = (0, import_react.useState)(false);
	const [steps, setSteps] = (0, import_react.useState)(0);
	(0, import_react.useEffect)(() => {
		load(assetUrl(asset)).then((image) => {
			picture.current = image;
			if (canvas.current) [canvas.current.width, canvas.current.height] = [image.naturalWidth, image.naturalHeight];
			setSize(Math.max(4, Math.round(image.naturalWidth / 16)));
		});
	}, [asset]);
	const keep = () => {
		const [context, area] = [contextOf(canvas.current), canvas.current];
		if (context && area) past.current = [...past.current, context.getImageData(0, 0, area.width, area.height)].slice(-20);
		setSteps(past.current.length);
	};
	const point = (event) => {
		const box = event.currentTarget.getBoundingClientRect();
		return [(event.clientX - box.x) / box.width * event.currentTarget.width, (event.clientY - box.y) / box.height * event.currentTarget.height];
	};
	const stroke = (event) => {
		const context = contextOf(event.currentTarget);
		const from = last.current;
		if (!context || !from) return;
		const to = point(event);
		context.globalCompositeOperation = erase ? "destination-out" : "source-over";
		[context.strokeStyle, context.lineWidth, context.lineCap] = [
			"#fff",
			size * (event.pointerType === "pen" ? .4 + event.pressure : 1),
			"round"
		];
		context.beginPath();
		context.moveTo(...from);
		context.lineTo(to[0] + .01, to[1]);
		context.stroke();
		last.current = to;
	};
	const undo = () => {
		const step = past.current.pop();
		if (step) contextOf(canvas.current)?.putImageData(step, 0, 0);
		setSteps(past.current.length);
	};
	const invert = () => {
		const [context, area] = [contextOf(canvas.current), canvas.current];
		if (!context || !area) return;
		keep();
		context.globalCompositeOperation = "source-out";
		context.fillStyle = "#fff";
		context.fillRect(0, 0, area.width, area.height);
	};
	const save = async () => {
		const blob = picture.current && canvas.current ? await withHole(picture.current, canvas.current) : null;
		if (!blob) return;
		try {
			const made = await upload(blob, `masked-${newKey().slice(0, 6)}.png`);
			await loadUploads();
			edit((graph) => setValue(graph, node, input, made.name));
			show(null);
		} catch (error) {
			say(error instanceof Error ? error.message : String(error), "error");
		}
	};
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("mask.paint"),
		className: "mask",
		children: [/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("p", {
			className: "buttons",
			children: [
				/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					"aria-pressed": !erase,
					onClick: () => setErase(false),
					children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, { name: "brush" }), t("mask.brush")]
				}),
				/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					"aria-pressed": erase,
					onClick: () => setErase(true),
					children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, { name: "minus" }), t("mask.erase")]
				}),
				/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("label", { children: [t("mask.size"), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("input", {
					type: "range",
					min: 2,
					max: 256,
					value: size,
					onChange: (event) => setSize(Number(event.target.value))
				})] }),
				/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					disabled: !steps,
					onClick: undo,
					children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, { name: "undo" }), t("do.undo")]
				}),
				/* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					onClick: invert,
					children: t("mask.invert")
				}),
				/* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					className: "primary",
					onClick: () => void save(),
					children: t("mask.save")
				})
			]
		}), /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("div", {
			className: "mask-area",
			children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("img", {
				src: assetUrl(asset),
				alt: ""
			}), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("canvas", {
				ref: canvas,
				"aria-label": t("mask.canvas"),
				onPointerDown: (event) => {
					event.currentTarget.setPointerCapture(event.pointerId);
					keep();
					last.current = point(event);
					stroke(event);
				},
				onPointerMove: (event) => stroke(event),
				onPointerUp: () => {
					last.current = null;
				}
			})]
		})]
	});
}
export { MaskDialog };
