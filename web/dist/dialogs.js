const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["./MaskDialog.js","./rolldown-runtime.js","./vendor.js","./editor.js"])))=>i.map(i=>d[i]);
import { n as __exportAll, r as __toESM } from "./rolldown-runtime.js";
import { S as require_react, v as require_jsx_runtime } from "./vendor.js";
import { $ as setValue, A as keepMine, C as newWorkflow, D as templates, E as saveAs, F as reveal, G as count, H as difference, I as say, J as useRun, K as t, L as show, M as openWorkflow, N as takeTheirs, P as useSession, Q as remove, R as useView, S as Icon, T as openTemplate, U as bytes, V as useSchema, W as clock, X as edit, Y as current, Z as useDocument, _ as tryConnect, a as matching, at as thumbnailUrl, b as TextOutput, c as COMMANDS, ct as sourceOf, d as runGrid, dt as isRecord, et as definitionOf, f as find, ft as parseJson, g as openPalette, h as looseEnd, i as Dot, j as openDraft, k as workflowOf, l as addAt, lt as wires, m as titleOf, n as replaceNode, nt as assetUrl, o as Picker, ot as url, p as score, q as __vitePreload, r as replacements, rt as call, s as display, st as ancestors, t as Changes, tt as widgetOf, u as run, ut as cleanWorkflow, v as openPlaces, w as openSaved, x as weightKey, y as proposal, z as definitionIn } from "./editor.js";
// src/panels/Dialog.tsx
var import_react = /* @__PURE__ */ __toESM(require_react(), 1);
var import_jsx_runtime = require_jsx_runtime();
/** A modal dialog: the browser keeps the focus inside; Escape and a click beside it close it. */
function Dialog({ label, className = "", children }) {
	const dialog = (0, import_react.useRef)(null);
	(0, import_react.useEffect)(() => {
		const before = document.activeElement;
		if (dialog.current && !dialog.current.open) dialog.current.showModal();
		return () => before?.focus?.({ preventScroll: true });
	}, []);
	return /* @__PURE__ */ (0, import_jsx_runtime.jsx)("dialog", {
		ref: dialog,
		className: `dialog ${className}`,
		"aria-label": label,
		onClose: () => show(null),
		onCancel: (event) => {
			event.preventDefault();
			show(null);
		},
		onPointerDown: (event) => event.target === dialog.current && show(null),
		children: /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("div", {
			className: "dialog-inner",
			children: [/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("header", { children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("h2", { children: label }), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
				type: "button",
				className: "ghost",
				"aria-label": t("dialog.close"),
				onClick: () => show(null),
				children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, { name: "close" })
			})] }), children]
		})
	});
}
// src/panels/BatchDialog.tsx
/** Values from a line: `1, 2, 3`, or one a line for texts; `1..4` and `0..1 by 0.25` count. */
function readValues(text) {
	const range = /^\s*(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)(?:\s*by\s*([\d.]+))?\s*$/.exec(text);
	if (range) {
		const [from, to, by] = [
			Number(range[1]),
			Number(range[2]),
			Number(range[3] ?? 1)
		];
		return Array.from({ length: Math.max(0, Math.min(99, Math.floor((to - from) / by + 1e-9) + 1)) }, (_, i) => Number((from + i * by).toFixed(6)));
	}
	return (text.includes("\n") ? text.split("\n") : text.split(",")).map((part) => part.trim()).filter(Boolean).map((part) => {
		try {
			const json = parseJson(part);
			return typeof json === "object" ? part : json;
		} catch {
			return part;
		}
	});
}
/** Every literal of the workflow that can be varied. */
function variable() {
	const { workflow } = current();
	const defs = useSchema.getState().definitions;
	return Object.entries(workflow.nodes).flatMap(([id, node]) => definitionOf(defs, workflow, id, node).inputs.filter((port) => port.field && widgetOf(port.field).kind !== "json" && !sourceOf(node.inputs[port.name])).map((port) => ({
		key: `${id}.${port.name}`,
		label: `${titleOf(defs, workflow, workflow, id)} · ${port.name}`
	})));
}
function AxisFields({ label, axis, change }) {
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("fieldset", { children: [
		/* @__PURE__ */ (0, import_jsx_runtime.jsx)("legend", { children: label }),
		/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("select", {
			"aria-label": t("batch.input", { axis: label }),
			value: axis.key,
			onChange: (event) => change({
				...axis,
				key: event.target.value
			}),
			children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("option", {
				value: "",
				children: t("batch.nothing")
			}), variable().map((one) => /* @__PURE__ */ (0, import_jsx_runtime.jsx)("option", {
				value: one.key,
				children: one.label
			}, one.key))]
		}),
		/* @__PURE__ */ (0, import_jsx_runtime.jsx)("textarea", {
			"aria-label": t("batch.values", { axis: label }),
			rows: 2,
			placeholder: t("batch.hint"),
			value: axis.text,
			onChange: (event) => change({
				...axis,
				text: event.target.value
			})
		})
	] });
}
function Grid({ jobs, columns }) {
	const known = useRun((state) => state.jobs);
	return /* @__PURE__ */ (0, import_jsx_runtime.jsx)("div", {
		className: "batch-grid",
		style: { gridTemplateColumns: `repeat(${Math.max(columns, 1)}, minmax(72px, 1fr))` },
		children: jobs.map(({ id, label }) => {
			const picture = known[id]?.outputs.find((output) => output.media_type.startsWith("image/"));
			return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("figure", { children: [picture ? /* @__PURE__ */ (0, import_jsx_runtime.jsx)("img", {
				src: thumbnailUrl(picture.asset),
				alt: label
			}) : /* @__PURE__ */ (0, import_jsx_runtime.jsx)("span", { className: "pending" }), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("figcaption", { children: label })] }, id);
		})
	});
}
/** Varies one or two values: the number of runs is said first, the results come as a labelled grid. */
function BatchDialog() {
	const [across, setAcross] = (0, import_react.useState)({
		key: "",
		text: ""
	});
	const [down, setDown] = (0, import_react.useState)({
		key: "",
		text: ""
	});
	const [jobs, setJobs] = (0, import_react.useState)([]);
	const columns = across.key ? readValues(across.text) : [];
	const rows = down.key && down.key !== across.key ? readValues(down.text) : [];
	const cells = (rows.length ? rows : [void 0]).flatMap((row) => columns.map((column) => ({
		label: row === void 0 ? String(column) : `${String(column)} · ${String(row)}`,
		overrides: {
			[across.key]: column,
			...row === void 0 ? {} : { [down.key]: row }
		}
	})));
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("do.batch"),
		className: "batch",
		children: [
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)(AxisFields, {
				label: t("batch.across"),
				axis: across,
				change: setAcross
			}),
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)(AxisFields, {
				label: t("batch.down"),
				axis: down,
				change: setDown
			}),
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)("p", {
				className: "buttons",
				children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					className: "primary",
					disabled: !cells.length,
					onClick: () => void runGrid(cells).then(setJobs),
					children: count(cells.length, "batch.one", "batch.many")
				})
			}),
			jobs.length > 0 && /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Grid, {
				jobs,
				columns: columns.length
			})
		]
	});
}
// src/panels/Compare.tsx
var MODES = [
	"slider",
	"side",
	"hover"
];
/** Two pictures: a slider between them, side by side, or one while the pointer rests; below, what was set differently. */
function Compare({ left, right }) {
	const [mode, setMode] = (0, import_react.useState)("slider");
	const [at, setAt] = (0, import_react.useState)(50);
	const [found, setFound] = (0, import_react.useState)(null);
	(0, import_react.useEffect)(() => {
		Promise.all([workflowOf(left.id), workflowOf(right.id)]).then(([a, b]) => setFound(difference(a, b)), () => void 0);
	}, [left.id, right.id]);
	const pictures = [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("img", {
		src: assetUrl(left.id),
		alt: left.name
	}, "left"), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("img", {
		src: assetUrl(right.id),
		alt: right.name,
		style: mode === "slider" ? { clipPath: `inset(0 0 0 ${at}%)` } : {}
	}, "right")];
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("compare.title"),
		className: "compare",
		children: [
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)("span", {
				className: "segmented",
				role: "group",
				"aria-label": t("compare.how"),
				children: MODES.map((one) => /* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					"aria-pressed": mode === one,
					onClick: () => setMode(one),
					children: t(`compare.${one}`)
				}, one))
			}),
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)("div", {
				className: `pair ${mode}`,
				children: pictures
			}),
			mode === "slider" && /* @__PURE__ */ (0, import_jsx_runtime.jsx)("input", {
				type: "range",
				"aria-label": t("compare.slider"),
				value: at,
				onChange: (event) => setAt(Number(event.target.value))
			}),
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)("h3", { children: t("compare.settings") }),
			found ? /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Changes, { found }) : /* @__PURE__ */ (0, import_jsx_runtime.jsx)("p", {
				className: "nothing",
				children: t("viewer.noWorkflow")
			})
		]
	});
}
// src/panels/ConflictDialog.tsx
/** Another window or person changed the same workflow: nothing is overwritten before this is answered. */
function ConflictDialog() {
	const { saved, file, draft } = useSession.getState();
	const ofDraft = saved === "conflict";
	const [found, setFound] = (0, import_react.useState)(null);
	const compare = async () => {
		const path = ofDraft ? `v1/drafts/${draft}` : `v1/workflows/${file?.id ?? ""}`;
		const theirs = await call(path);
		const workflow = theirs.workflow ?? theirs.draft?.workflow;
		setFound(difference(cleanWorkflow(workflow ?? {}), current().workflow));
	};
	const keep = () => ofDraft ? keepMine() : saveAs(t("conflict.copyOf", { name: current().workflow.name }), null, true);
	const take = () => ofDraft ? takeTheirs() : openSaved(file?.id ?? "");
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("conflict.title"),
		className: "small",
		children: [
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)("p", { children: t("conflict.text") }),
			/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("p", {
				className: "buttons",
				children: [
					/* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
						type: "button",
						className: "primary",
						onClick: () => void keep(),
						children: t("conflict.keep")
					}),
					/* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
						type: "button",
						onClick: () => void take(),
						children: t("conflict.take")
					}),
					/* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
						type: "button",
						onClick: () => void compare(),
						children: t("conflict.compare")
					})
				]
			}),
			found && /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Changes, { found })
		]
	});
}
// src/panels/MiniGraph.tsx
var [WIDTH, HEIGHT] = [240, 150];
/** A workflow as a small drawing: a box a node, a line a link. */
function MiniGraph({ document }) {
	const graph = cleanWorkflow(document);
	const places = Object.keys(graph.nodes).map((id) => [id, graph.layout[id]?.position ?? [0, 0]]);
	const [xs, ys] = [places.map(([, p]) => p[0]), places.map(([, p]) => p[1])];
	const [left, top] = [Math.min(...xs) - 80, Math.min(...ys) - 80];
	const [width, height] = [Math.max(...xs) + WIDTH + 80 - left, Math.max(...ys) + HEIGHT + 80 - top];
	const at = new Map(places);
	const line = (from, to) => {
		const [a, b] = [at.get(from), at.get(to)];
		return a && b ? `M${a[0] + WIDTH},${a[1] + HEIGHT / 2} C${a[0] + WIDTH + 80},${a[1] + HEIGHT / 2} ${b[0] - 80},${b[1] + HEIGHT / 2} ${b[0]},${b[1] + HEIGHT / 2}` : "";
	};
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("svg", {
		className: "library-blank mini-graph",
		viewBox: places.length ? `${left} ${top} ${width} ${height}` : "0 0 1 1",
		"aria-hidden": "true",
		children: [wires(graph).map((wire) => /* @__PURE__ */ (0, import_jsx_runtime.jsx)("path", { d: line(wire.node, wire.target) }, `${wire.target} ${wire.input}`)), places.map(([id, [x, y]]) => /* @__PURE__ */ (0, import_jsx_runtime.jsx)("rect", {
			x,
			y,
			width: WIDTH,
			height: HEIGHT,
			rx: "24"
		}, id))]
	});
}
// src/panels/Drafts.tsx
var SHOWN = 8;
var documentOf = (draft) => isRecord(draft.draft?.workflow) ? draft.draft.workflow : {};
async function newest() {
	const { drafts } = await call("v1/drafts");
	const own = useSession.getState().draft;
	const others = drafts.filter((draft) => draft.id !== own).slice(0, SHOWN);
	return Promise.all(others.map((draft) => call(`v1/drafts/${draft.id}`)));
}
/** What was open before and never saved: nothing that was made is out of reach. */
function Drafts() {
	const [drafts, setDrafts] = (0, import_react.useState)([]);
	(0, import_react.useEffect)(() => void newest().then(setDrafts, () => void 0), []);
	if (!drafts.length) return null;
	const open = async (id) => {
		await openDraft(id);
		show(null);
	};
	const remove = async (id) => {
		await call(`v1/drafts/${id}`, { method: "DELETE" }).catch((error) => say(error.message, "error"));
		setDrafts((known) => known.filter((draft) => draft.id !== id));
	};
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("h3", { children: t("library.drafts") }), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("ul", {
		className: "library-cards",
		"aria-label": t("library.drafts"),
		children: drafts.map((draft) => {
			const name = String(documentOf(draft).name || t("file.untitled"));
			return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("li", {
				className: "library-card",
				children: [/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					onClick: () => void open(draft.id),
					children: [
						/* @__PURE__ */ (0, import_jsx_runtime.jsx)(MiniGraph, { document: documentOf(draft) }),
						/* @__PURE__ */ (0, import_jsx_runtime.jsx)("b", { children: name }),
						/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("small", { children: [
							(/* @__PURE__ */ new Date(draft.updated * 1e3)).toLocaleDateString(),
							" ",
							clock(draft.updated)
						] })
					]
				}), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					className: "ghost remove",
					"aria-label": t("library.remove", { name }),
					onClick: () => void remove(draft.id),
					children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, { name: "trash" })
				})]
			}, draft.id);
		})
	})] });
}
// src/panels/LibraryDialog.tsx
function Card({ title, text, picture, open, workflow, children }) {
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("li", {
		className: "library-card",
		children: [/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("button", {
			type: "button",
			onClick: open,
			children: [
				picture ? /* @__PURE__ */ (0, import_jsx_runtime.jsx)("img", {
					src: picture,
					alt: "",
					loading: "lazy"
				}) : workflow ? /* @__PURE__ */ (0, import_jsx_runtime.jsx)(MiniGraph, { document: workflow }) : /* @__PURE__ */ (0, import_jsx_runtime.jsx)("span", {
					className: "library-blank",
					children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, {
						name: "graph",
						size: 28
					})
				}),
				/* @__PURE__ */ (0, import_jsx_runtime.jsx)("b", { children: title }),
				/* @__PURE__ */ (0, import_jsx_runtime.jsx)("small", { children: text })
			]
		}), children]
	});
}
var pictureOf = (thumbnail) => !thumbnail ? null : /^[0-9a-f]{32}$/.test(thumbnail) ? thumbnailUrl(thumbnail) : url(thumbnail);
/** Shipped templates, and the workflows saved on this server. */
function LibraryDialog() {
	const [query, setQuery] = (0, import_react.useState)("");
	const [shipped, setShipped] = (0, import_react.useState)([]);
	const [saved, setSaved] = (0, import_react.useState)([]);
	const refresh = () => void call("v1/workflows").then((answer) => setSaved(answer.workflows), () => void 0);
	(0, import_react.useEffect)(() => {
		templates().then(setShipped, () => void 0);
		refresh();
	}, []);
	const remove = async (one) => {
		await call(`v1/workflows/${one.id}`, { method: "DELETE" }).catch((error) => say(error.message, "error"));
		refresh();
	};
	const mine = saved.filter((one) => score(query, one.name, ...one.tags) > 0);
	const offered = shipped.filter((one) => score(query, one.title, one.description) > 0);
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("do.library"),
		className: "library",
		children: [
			/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("p", {
				className: "library-bar",
				children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("input", {
					type: "search",
					"aria-label": t("library.search"),
					placeholder: t("library.search"),
					value: query,
					autoFocus: true,
					onChange: (event) => setQuery(event.target.value)
				}), /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					onClick: () => {
						newWorkflow();
						show(null);
					},
					children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, { name: "plus" }), t("do.new")]
				})]
			}),
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)("h3", { children: t("library.mine") }),
			/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("ul", {
				className: "library-cards",
				"aria-label": t("library.mine"),
				children: [mine.map((one) => /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Card, {
					title: one.name || t("file.untitled"),
					text: one.tags.join(" · ") || (/* @__PURE__ */ new Date(one.updated * 1e3)).toLocaleDateString(),
					picture: pictureOf(one.thumbnail),
					open: () => void openSaved(one.id),
					children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
						type: "button",
						className: "ghost remove",
						"aria-label": t("library.remove", { name: one.name }),
						onClick: () => void remove(one),
						children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, { name: "trash" })
					})
				}, one.id)), !mine.length && /* @__PURE__ */ (0, import_jsx_runtime.jsx)("li", {
					className: "nothing",
					children: t("library.none")
				})]
			}),
			!query && /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Drafts, {}),
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)("h3", { children: t("library.templates") }),
			/* @__PURE__ */ (0, import_jsx_runtime.jsx)("ul", {
				className: "library-cards",
				"aria-label": t("library.templates"),
				children: offered.map((one) => /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Card, {
					title: one.title,
					text: one.description,
					picture: pictureOf(one.thumbnail),
					workflow: one.workflow,
					open: () => openTemplate(one)
				}, one.name))
			})
		]
	});
}
// src/panels/searches.tsx
function FindDialog() {
	const { graph, workflow } = current();
	const defs = useSchema.getState().definitions;
	const search = (query) => find(defs, workflow, graph, query).map((hit) => ({
		key: hit.node,
		label: hit.title,
		hint: hit.where || hit.node
	}));
	const choose = ({ key }) => {
		show(null);
		reveal(key);
	};
	return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Dialog, {
		label: t("do.find"),
		className: "search",
		children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Picker, {
			label: t("find.hint"),
			search,
			choose
		})
	});
}
/** Every action, and every node that can be added, from one field. */
function CommandsDialog() {
	const defs = [...new Set(useSchema.getState().definitions.values())];
	const search = (query) => [...COMMANDS.filter((one) => !one.native && one.id !== "escape" && score(query, t(one.label), one.id) > 0).map((one) => ({
		key: `do:${one.id}`,
		label: t(one.label),
		hint: one.keys?.[0] && display(one.keys[0]),
		lead: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, { name: one.icon ?? "right" }),
		run: one.run
	})), ...(query ? matching(defs, query, null).slice(0, 20) : []).map((def) => ({
		key: `add:${def.type}`,
		label: t("commands.add", { title: def.title }),
		hint: def.category,
		lead: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Dot, { def }),
		run: () => {
			const point = useView.getState().flow?.screenToFlowPosition({
				x: innerWidth / 2 - 130,
				y: innerHeight / 3
			});
			addAt(def, [point?.x ?? 0, point?.y ?? 0], null);
		}
	}))];
	const choose = (choice) => {
		show(null);
		choice.run();
	};
	return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Dialog, {
		label: t("do.commands"),
		className: "search",
		children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Picker, {
			label: t("commands.hint"),
			search,
			choose
		})
	});
}
function ReplaceDialog({ id }) {
	const { graph, workflow } = current();
	const defs = useSchema.getState().definitions;
	const offers = replacements(defs, workflow, graph, id);
	const search = (query) => offers.filter(({ def }) => score(query, def.title, def.type, def.category) > 0).map(({ def, kept, lost }) => ({
		key: def.type,
		label: def.title,
		lead: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Dot, { def }),
		def,
		hint: lost.length ? t("replace.loses", {
			kept,
			lost: lost.join(", ")
		}) : t("replace.keepsAll", { kept })
	}));
	const choose = ({ def }) => {
		show(null);
		edit((one) => replaceNode(defs, workflow, one, id, def).graph);
		reveal(id);
	};
	return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Dialog, {
		label: t("replace.title", { title: titleOf(defs, workflow, graph, id) }),
		className: "search",
		children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Picker, {
			label: t("palette.search"),
			search,
			choose: (choice) => choose(choice)
		})
	});
}
/** Makes a link without a pointer: first the output, then one of the places it fits, or a new node. */
function ConnectDialog({ id }) {
	const { graph, workflow } = current();
	const defs = useSchema.getState().definitions;
	const outputs = definitionIn(id)?.outputs ?? [];
	const [output, setOutput] = (0, import_react.useState)(outputs.length === 1 ? outputs[0]?.name : void 0);
	const title = titleOf(defs, workflow, graph, id);
	if (output === void 0) {
		const search = (query) => outputs.filter((port) => score(query, port.name, port.type) > 0).map((port) => ({
			key: port.name,
			label: port.name,
			hint: port.type
		}));
		return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Dialog, {
			label: t("connect.from", { title }),
			className: "search",
			children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Picker, {
				label: t("connect.output"),
				search,
				choose: ({ key }) => setOutput(key)
			}, "from")
		});
	}
	const loose = looseEnd(id, output, "source");
	const places = loose ? openPlaces(defs, workflow, graph, loose) : [];
	const search = (query) => [...places.map(({ node, port }) => ({
		key: `${node} ${port}`,
		label: `${titleOf(defs, workflow, graph, node)} · ${port}`,
		hint: node,
		node,
		port
	})).filter((one) => score(query, one.label, one.hint) > 0), {
		key: "new",
		label: t("connect.newNode"),
		hint: "",
		node: "",
		port: ""
	}];
	const choose = ({ node, port }) => {
		show(null);
		if (!loose) return;
		if (!node) return openPalette([innerWidth / 2 - 180, innerHeight / 4], loose);
		tryConnect(proposal(loose, node, port));
		reveal(node);
	};
	return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Dialog, {
		label: t("connect.to", {
			title,
			output
		}),
		className: "search",
		children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Picker, {
			label: t("connect.input"),
			search,
			choose
		}, "to")
	});
}
// src/panels/SaveDialog.tsx
function SaveDialog() {
	const file = useSession((state) => state.file);
	const submit = (asNew) => (event) => {
		event.preventDefault();
		const data = new FormData(event.currentTarget);
		const tags = String(data.get("tags") ?? "").split(",").map((tag) => tag.trim()).filter(Boolean);
		saveAs(String(data.get("name") ?? "").trim() || t("file.untitled"), tags, asNew);
	};
	return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Dialog, {
		label: t("save.title"),
		className: "small",
		children: /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("form", {
			onSubmit: submit(true),
			children: [
				/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("label", { children: [t("save.name"), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("input", {
					name: "name",
					defaultValue: current().workflow.name,
					autoFocus: true,
					required: true
				})] }),
				/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("label", { children: [t("save.tags"), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("input", {
					name: "tags",
					placeholder: t("save.tagsHint")
				})] }),
				/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("p", {
					className: "buttons",
					children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
						type: "submit",
						className: "primary",
						children: t(file ? "save.asNew" : "save.save")
					}), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
						type: "button",
						onClick: () => show(null),
						children: t("dialog.cancel")
					})]
				})
			]
		})
	});
}
// src/panels/ShortcutsDialog.tsx
var GROUPS = [
	"run",
	"edit",
	"node",
	"view",
	"file"
];
function ShortcutsDialog() {
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("do.shortcuts"),
		className: "shortcuts",
		children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("div", {
			className: "columns",
			children: GROUPS.map((group) => /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("section", { children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("h3", { children: t(`group.${group}`) }), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("dl", { children: COMMANDS.filter((one) => one.group === group && one.keys).map((one) => /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("div", { children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("dt", { children: t(one.label) }), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("dd", { children: one.keys?.map((keys) => /* @__PURE__ */ (0, import_jsx_runtime.jsx)("kbd", { children: display(keys) }, keys)) })] }, one.id)) })] }, group))
		}), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("p", { children: t("shortcuts.mouse") })]
	});
}
// src/panels/TextDialog.tsx
/** A prompt with room; Ctrl+Enter runs. */
function TextDialog({ node, input }) {
	const value = useDocument((state) => state.graph.nodes[node]?.inputs[input]);
	const set = (text) => edit((graph) => setValue(graph, node, input, text), `value ${node}.${input}`);
	return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)(Dialog, {
		label: input,
		className: "text",
		children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("textarea", {
			"aria-label": input,
			autoFocus: true,
			value: typeof value === "string" ? value : "",
			onChange: (event) => set(event.target.value),
			onKeyDown: (event) => {
				weightKey(event, set);
				if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
				show(null);
				run();
			}
		}), /* @__PURE__ */ (0, import_jsx_runtime.jsx)("p", { children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)("small", { children: t("text.keys") }) })]
	});
}
// src/panels/Viewer.tsx
/** The literals of a workflow, by node. */
function Settings({ workflow }) {
	const defs = useSchema((state) => state.definitions);
	return /* @__PURE__ */ (0, import_jsx_runtime.jsx)("dl", {
		className: "settings",
		children: Object.entries(workflow.nodes).map(([id, node]) => {
			const literals = Object.entries(node.inputs).filter(([, value]) => !sourceOf(value) && value !== null && value !== "");
			if (!literals.length) return null;
			return /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("div", { children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("dt", { children: titleOf(defs, workflow, workflow, id) }), literals.map(([name, value]) => /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("dd", { children: [
				/* @__PURE__ */ (0, import_jsx_runtime.jsx)("span", { children: name }),
				" ",
				typeof value === "object" ? JSON.stringify(value) : String(value)
			] }, name))] }, id);
		})
	});
}
/** Only what a node needs: the branch that made its picture. */
function branchOf(workflow, node) {
	const needed = ancestors(workflow, [node]);
	return remove(workflow, Object.keys(workflow.nodes).filter((id) => !needed.has(id)));
}
/** A result, what made it, and its workflow. */
function Viewer({ asset }) {
	const [workflow, setWorkflow] = (0, import_react.useState)(null);
	(0, import_react.useEffect)(() => void workflowOf(asset.id).then(setWorkflow, () => void 0), [asset.id]);
	const openIt = (opened) => {
		if (!opened) return;
		show(null);
		openWorkflow(opened);
	};
	const branch = workflow && asset.node && workflow.nodes[asset.node] ? branchOf(workflow, asset.node) : null;
	const smaller = branch && workflow && Object.keys(branch.nodes).length < Object.keys(workflow.nodes).length;
	const size = asset.width && asset.height ? `${asset.width} × ${asset.height}` : "";
	return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Dialog, {
		label: asset.name,
		className: "viewer",
		children: /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("div", {
			className: "viewer-body",
			children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)("div", {
				className: "viewer-picture",
				children: asset.media_type.startsWith("image/") ? /* @__PURE__ */ (0, import_jsx_runtime.jsx)("img", {
					src: assetUrl(asset.id),
					alt: asset.name
				}) : asset.media_type.startsWith("video/") ? /* @__PURE__ */ (0, import_jsx_runtime.jsx)("video", {
					src: assetUrl(asset.id),
					controls: true,
					loop: true
				}) : asset.media_type.startsWith("text/") ? /* @__PURE__ */ (0, import_jsx_runtime.jsx)(TextOutput, { asset: asset.id }) : /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, {
					name: "form",
					size: 48
				})
			}), /* @__PURE__ */ (0, import_jsx_runtime.jsxs)("div", {
				className: "viewer-side",
				children: [
					/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("p", {
						className: "buttons",
						children: [
							/* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
								type: "button",
								className: "primary",
								disabled: !workflow,
								onClick: () => openIt(workflow),
								children: t("viewer.open")
							}),
							smaller && /* @__PURE__ */ (0, import_jsx_runtime.jsx)("button", {
								type: "button",
								onClick: () => openIt(branch),
								children: t("viewer.branch")
							}),
							/* @__PURE__ */ (0, import_jsx_runtime.jsxs)("a", {
								className: "button",
								href: assetUrl(asset.id),
								download: asset.name,
								children: [/* @__PURE__ */ (0, import_jsx_runtime.jsx)(Icon, { name: "download" }), t("viewer.download")]
							})
						]
					}),
					/* @__PURE__ */ (0, import_jsx_runtime.jsx)("p", { children: /* @__PURE__ */ (0, import_jsx_runtime.jsx)("small", { children: [
						size,
						asset.size ? bytes(asset.size) : "",
						asset.media_type
					].filter(Boolean).join(" · ") }) }),
					workflow ? /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Settings, { workflow }) : /* @__PURE__ */ (0, import_jsx_runtime.jsx)("p", {
						className: "nothing",
						children: t("viewer.noWorkflow")
					})
				]
			})]
		})
	});
}
// src/panels/dialogs.tsx
var dialogs_exports = /* @__PURE__ */ __exportAll({ Dialogs: () => Dialogs });
var MaskDialog = (0, import_react.lazy)(() => __vitePreload(() => import("./MaskDialog.js").then((module) => ({ default: module.MaskDialog })), __vite__mapDeps([0,1,2,3]), import.meta.url));
function body(dialog) {
	switch (dialog.kind) {
		case "shortcuts": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(ShortcutsDialog, {});
		case "commands": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(CommandsDialog, {});
		case "find": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(FindDialog, {});
		case "library": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(LibraryDialog, {});
		case "viewer": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Viewer, { asset: dialog.asset }, dialog.asset.id);
		case "compare": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(Compare, {
			left: dialog.left,
			right: dialog.right
		});
		case "replace": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(ReplaceDialog, { id: dialog.node });
		case "connect": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(ConnectDialog, { id: dialog.node });
		case "mask": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(MaskDialog, {
			node: dialog.node,
			input: dialog.input,
			asset: dialog.asset
		});
		case "text": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(TextDialog, {
			node: dialog.node,
			input: dialog.input
		});
		case "batch": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(BatchDialog, {});
		case "save": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(SaveDialog, {});
		case "conflict": return /* @__PURE__ */ (0, import_jsx_runtime.jsx)(ConflictDialog, {});
	}
}
function Dialogs() {
	const dialog = useView((view) => view.dialog);
	return dialog && /* @__PURE__ */ (0, import_jsx_runtime.jsx)(import_react.Suspense, { children: body(dialog) });
}
export { Dialogs, Dialog as n, dialogs_exports as t };
