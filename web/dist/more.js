import { r as __toESM } from "./rolldown-runtime.js";
import { $ as reveal, A as moveItem, At as widgetOf, B as openSaved, Bt as t, C as proposal, Ct as remove, D as weightKey, Dt as definitionOf, E as Field, Et as toggleMode, F as colorOf, Ft as url, G as keepMine, Gt as sourceOf, H as saveAs, Ht as ancestors, I as TextOutput, It as bytes, J as saveFile, Jt as isRecord, K as openDraft, Kt as wires, L as toAsset, Lt as clock, M as useProblems, Mt as call, N as Icon, Nt as newKey, O as changeItem, Ot as fits, P as IconButton, Pt as thumbnailUrl, Q as inGraph, R as useAnswer, Rt as count, S as openPlaces, St as disconnect, T as badgeText, Tt as setValue, U as templates, Ut as inOrder, V as openTemplate, Vt as when, W as workflowOf, Wt as linkTo, X as useSession, Xt as writeJson, Y as takeTheirs, Yt as parseJson, Z as TOUR, _ as addAt, _t as edit, a as cancelShown, at as upload, b as openPalette, bt as open, c as run, ct as useNodeRun, d as Dot, dt as isSame, et as say, f as matching, ft as activeJobs, g as titleOf, gt as current, h as score, ht as useRun, i as cancelJob, it as definitionIn, j as explain, jt as assetUrl, k as formItems, kt as outputOf, l as runGrid, lt as visibleNode, m as find, mt as shownJob, n as display, nt as show, o as clearQueue, ot as useDefinition, p as Picker, pt as isActive, q as openWorkflow, qt as cleanWorkflow, r as COMMANDS, rt as useView, s as placeJob, st as useSchema, t as NodeMenu, tt as sayError, u as setPaused, ut as difference, v as toggleFrozen, vt as editWorkflow, w as badgeHint, wt as setTitle, x as tryConnect, xt as useDocument, y as looseEnd, yt as enter, z as newWorkflow, zt as seconds } from "./editor.js";
import { C as require_react, y as require_jsx_runtime } from "./vendor.js";
// src/panels/Dialog.tsx
var import_react = __toESM(require_react(), 1);
var import_jsx_runtime = require_jsx_runtime();
function Dialog({ label, className = "", children }) {
	const dialog = (0, import_react.useRef)(null);
	(0, import_react.useEffect)(() => {
		const before = document.activeElement;
		if (dialog.current && !dialog.current.open) dialog.current.showModal();
		dialog.current?.querySelector("input:not([type=range]), textarea, select")?.focus();
		return () => before?.focus?.({ preventScroll: true });
	}, []);
	return (0, import_jsx_runtime.jsx)("dialog", {
		ref: dialog,
		className: `dialog ${className}`,
		"aria-label": label,
		onClose: () => show(null),
		onCancel: (event) => {
			event.preventDefault();
			show(null);
		},
		onPointerDown: (event) => event.target === dialog.current && show(null),
		children: (0, import_jsx_runtime.jsxs)("div", {
			className: "dialog-inner",
			children: [(0, import_jsx_runtime.jsxs)("header", { children: [(0, import_jsx_runtime.jsx)("h2", { children: label }), (0, import_jsx_runtime.jsx)(IconButton, {
				icon: "close",
				label: t("dialog.close"),
				onClick: () => show(null)
			})] }), children]
		})
	});
}
// src/panels/BatchDialog.tsx
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
function variable() {
	const { workflow } = current();
	const defs = useSchema.getState().definitions;
	return Object.entries(workflow.nodes).flatMap(([id, node]) => definitionOf(defs, workflow, id, node).inputs.filter((port) => port.field && widgetOf(port.field).kind !== "json" && !sourceOf(node.inputs[port.name])).map((port) => ({
		key: `${id}.${port.name}`,
		label: `${titleOf(defs, workflow, workflow, id)} · ${port.name}`
	})));
}
function AxisFields({ label, axis, change }) {
	return (0, import_jsx_runtime.jsxs)("fieldset", { children: [
		(0, import_jsx_runtime.jsx)("legend", { children: label }),
		(0, import_jsx_runtime.jsxs)("select", {
			"aria-label": t("batch.input", { axis: label }),
			value: axis.key,
			onChange: (event) => change({
				...axis,
				key: event.target.value
			}),
			children: [(0, import_jsx_runtime.jsx)("option", {
				value: "",
				children: t("batch.nothing")
			}), variable().map((one) => (0, import_jsx_runtime.jsx)("option", {
				value: one.key,
				children: one.label
			}, one.key))]
		}),
		(0, import_jsx_runtime.jsx)("textarea", {
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
	return (0, import_jsx_runtime.jsx)("div", {
		className: "batch-grid",
		style: { gridTemplateColumns: `repeat(${Math.max(columns, 1)}, minmax(72px, 1fr))` },
		children: jobs.map(({ id, label }) => {
			const picture = known[id]?.outputs.find((output) => output.media_type.startsWith("image/"));
			return (0, import_jsx_runtime.jsxs)("figure", { children: [picture ? (0, import_jsx_runtime.jsx)("img", {
				src: thumbnailUrl(picture.asset),
				alt: label
			}) : (0, import_jsx_runtime.jsx)("span", { className: "pending" }), (0, import_jsx_runtime.jsx)("figcaption", { children: label })] }, id);
		})
	});
}
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
		label: [[across.key, column], ...row === void 0 ? [] : [[down.key, row]]].map(([key, value]) => `${key.split(".").at(-1) ?? ""} ${String(value)}`).join(" · "),
		overrides: {
			[across.key]: column,
			...row === void 0 ? {} : { [down.key]: row }
		}
	})));
	return (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("do.batch"),
		className: "batch",
		children: [
			(0, import_jsx_runtime.jsx)(AxisFields, {
				label: t("batch.across"),
				axis: across,
				change: setAcross
			}),
			(0, import_jsx_runtime.jsx)(AxisFields, {
				label: t("batch.down"),
				axis: down,
				change: setDown
			}),
			(0, import_jsx_runtime.jsx)("p", {
				className: "buttons",
				children: (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					className: "primary",
					disabled: !cells.length,
					onClick: () => void runGrid(cells).then(setJobs),
					children: count(cells.length, "batch.one", "batch.many")
				})
			}),
			jobs.length > 0 && (0, import_jsx_runtime.jsx)(Grid, {
				jobs,
				columns: columns.length
			})
		]
	});
}
// src/panels/Versions.tsx
function short(value) {
	const source = sourceOf(value);
	if (source) return `← ${source.node}.${source.output}`;
	return value === void 0 ? "–" : typeof value === "string" ? value : writeJson(value).slice(0, 60);
}
function Changes({ found }) {
	const defs = useSchema((state) => state.definitions);
	const workflow = useDocument((state) => state.workflow);
	const ghosts = useView((view) => view.ghosts);
	const title = (id) => ghosts.find((ghost) => ghost.id === id)?.title ?? titleOf(defs, workflow, workflow, id);
	if (isSame(found)) return (0, import_jsx_runtime.jsx)("p", {
		className: "nothing",
		children: t("versions.same")
	});
	return (0, import_jsx_runtime.jsxs)("ul", {
		className: "changes",
		children: [
			found.added.map((id) => (0, import_jsx_runtime.jsx)("li", {
				className: "added",
				children: (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					onClick: () => reveal(id),
					children: ["+ ", title(id)]
				})
			}, id)),
			found.removed.map((id) => (0, import_jsx_runtime.jsxs)("li", {
				className: "removed",
				children: ["− ", title(id)]
			}, id)),
			Object.entries(found.changed).map(([id, changes]) => (0, import_jsx_runtime.jsxs)("li", {
				className: "changed",
				children: [(0, import_jsx_runtime.jsx)("button", {
					type: "button",
					onClick: () => reveal(id),
					children: title(id)
				}), changes.map((change) => (0, import_jsx_runtime.jsxs)("span", { children: [
					(0, import_jsx_runtime.jsx)("b", { children: change.input }),
					" ",
					(0, import_jsx_runtime.jsx)("del", { children: short(change.before) }),
					" ",
					(0, import_jsx_runtime.jsx)("ins", { children: short(change.after) })
				] }, change.input))]
			}, id))
		]
	});
}
function mark(found, old) {
	const changed = Object.keys(found?.changed ?? {}).map((id) => [id, "changed"]);
	const ghosts = (found?.removed ?? []).map((id) => ({
		id,
		title: old?.nodes[id]?.title || (old?.nodes[id]?.type ?? id),
		position: old?.layout[id]?.position ?? [0, 0]
	}));
	useView.setState({
		ghosts,
		marks: Object.fromEntries([...changed, ...(found?.added ?? []).map((id) => [id, "added"])])
	});
}
async function versionOf(id, number) {
	const version = await call(`v1/workflows/${id}/versions/${number}`);
	return cleanWorkflow(version.workflow ?? {});
}
async function restore(id, number) {
	const saved = await call(`v1/workflows/${id}/versions/${number}/restore`, {
		method: "POST",
		json: {}
	});
	open(saved.workflow ? cleanWorkflow(saved.workflow ?? {}) : await versionOf(id, number));
	useSession.setState({ file: {
		id,
		version: saved.version
	} });
	say(t("versions.restored", { number }));
}
function Versions() {
	const file = useSession((state) => state.file);
	const name = useDocument((state) => state.workflow.name);
	const [chosen, setChosen] = (0, import_react.useState)(null);
	const [answer] = useAnswer(async () => file && call(`v1/workflows/${file.id}/versions`), [file]);
	(0, import_react.useEffect)(() => () => mark(null), [file]);
	if (!file) return (0, import_jsx_runtime.jsx)("p", {
		className: "nothing",
		children: t("versions.unsaved")
	});
	const choose = async (number) => {
		const old = await versionOf(file.id, number);
		const found = difference(old, current().workflow);
		setChosen({
			number,
			found
		});
		mark(found, old);
	};
	const keep = async (event) => {
		event.preventDefault();
		const form = event.currentTarget;
		await saveFile(current().workflow.name, null, false, String(new FormData(form).get("name")));
		form.reset();
	};
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "versions",
		children: [
			(0, import_jsx_runtime.jsxs)("form", {
				className: "name-version",
				onSubmit: (event) => void keep(event),
				children: [(0, import_jsx_runtime.jsx)("input", {
					name: "name",
					required: true,
					maxLength: 80,
					"aria-label": t("versions.name"),
					placeholder: t("versions.name")
				}), (0, import_jsx_runtime.jsx)("button", {
					type: "submit",
					children: t("save.save")
				})]
			}),
			(0, import_jsx_runtime.jsx)("ul", {
				"aria-label": t("panel.versions"),
				children: answer?.versions.map((version) => (0, import_jsx_runtime.jsxs)("li", { children: [(0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					"aria-pressed": chosen?.number === version.version,
					onClick: () => void choose(version.version),
					children: [(0, import_jsx_runtime.jsx)("b", { children: version.name && version.name !== name ? version.name : t("versions.number", { number: version.version }) }), (0, import_jsx_runtime.jsx)("small", { children: when(version.created) })]
				}), (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					className: "ghost",
					onClick: () => void restore(file.id, version.version),
					children: t("versions.restore")
				})] }, version.version))
			}),
			chosen && (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsx)("h3", { children: t("versions.since", { number: chosen.number }) }), (0, import_jsx_runtime.jsx)(Changes, { found: chosen.found })] })
		]
	});
}
// src/panels/Compare.tsx
var MODES = [
	"slider",
	"side",
	"hover"
];
function Compare({ left, right }) {
	const [mode, setMode] = (0, import_react.useState)("slider");
	const [at, setAt] = (0, import_react.useState)(50);
	const both = () => Promise.all([workflowOf(left.id), workflowOf(right.id)]);
	const [found] = useAnswer(() => both().then(([a, b]) => difference(a, b), () => null), [left.id, right.id]);
	const pictures = [(0, import_jsx_runtime.jsx)("img", {
		src: assetUrl(left.id),
		alt: left.name
	}, "left"), (0, import_jsx_runtime.jsx)("img", {
		src: assetUrl(right.id),
		alt: right.name,
		style: mode === "slider" ? { clipPath: `inset(0 0 0 ${at}%)` } : {}
	}, "right")];
	return (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("compare.title"),
		className: "compare",
		children: [
			(0, import_jsx_runtime.jsx)("span", {
				className: "segmented",
				role: "group",
				"aria-label": t("compare.how"),
				children: MODES.map((one) => (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					"aria-pressed": mode === one,
					onClick: () => setMode(one),
					children: t(`compare.${one}`)
				}, one))
			}),
			(0, import_jsx_runtime.jsx)("div", {
				className: `pair ${mode}`,
				children: pictures
			}),
			mode === "slider" && (0, import_jsx_runtime.jsx)("input", {
				type: "range",
				"aria-label": t("compare.slider"),
				value: at,
				onChange: (event) => setAt(Number(event.target.value))
			}),
			(0, import_jsx_runtime.jsx)("h3", { children: t("compare.settings") }),
			found ? (0, import_jsx_runtime.jsx)(Changes, { found }) : (0, import_jsx_runtime.jsx)("p", {
				className: "nothing",
				children: t("viewer.noWorkflow")
			})
		]
	});
}
// src/panels/MiniGraph.tsx
var [WIDTH, HEIGHT$1] = [240, 150];
function MiniGraph({ document }) {
	const graph = cleanWorkflow(document);
	const places = Object.keys(graph.nodes).map((id) => [id, graph.layout[id]?.position ?? [0, 0]]);
	const [xs, ys] = [places.map(([, p]) => p[0]), places.map(([, p]) => p[1])];
	const [left, top] = [Math.min(...xs) - 80, Math.min(...ys) - 80];
	const [width, height] = [Math.max(...xs) + WIDTH + 80 - left, Math.max(...ys) + HEIGHT$1 + 80 - top];
	const at = new Map(places);
	const line = (from, to) => {
		const [a, b] = [at.get(from), at.get(to)];
		return a && b ? `M${a[0] + WIDTH},${a[1] + HEIGHT$1 / 2} C${a[0] + WIDTH + 80},${a[1] + HEIGHT$1 / 2} ${b[0] - 80},${b[1] + HEIGHT$1 / 2} ${b[0]},${b[1] + HEIGHT$1 / 2}` : "";
	};
	return (0, import_jsx_runtime.jsxs)("svg", {
		className: "library-blank mini-graph",
		viewBox: places.length ? `${left} ${top} ${width} ${height}` : "0 0 1 1",
		"aria-hidden": "true",
		children: [wires(graph).map((wire) => (0, import_jsx_runtime.jsx)("path", { d: line(wire.node, wire.target) }, `${wire.target} ${wire.input}`)), places.map(([id, [x, y]]) => (0, import_jsx_runtime.jsx)("rect", {
			x,
			y,
			width: WIDTH,
			height: HEIGHT$1,
			rx: "24"
		}, id))]
	});
}
// src/panels/LibraryCard.tsx
function LibraryCard({ title, text, open, picture, workflow, remove, name = title }) {
	return (0, import_jsx_runtime.jsxs)("li", {
		className: "library-card",
		children: [(0, import_jsx_runtime.jsxs)("button", {
			type: "button",
			onClick: open,
			children: [
				picture ? (0, import_jsx_runtime.jsx)("img", {
					src: picture,
					alt: "",
					loading: "lazy"
				}) : workflow ? (0, import_jsx_runtime.jsx)(MiniGraph, { document: workflow }) : (0, import_jsx_runtime.jsx)("span", {
					className: "library-blank",
					children: (0, import_jsx_runtime.jsx)(Icon, {
						name: "graph",
						size: 28
					})
				}),
				(0, import_jsx_runtime.jsx)("b", { children: title }),
				(0, import_jsx_runtime.jsx)("small", { children: text })
			]
		}), remove && (0, import_jsx_runtime.jsx)(IconButton, {
			icon: "trash",
			className: "remove",
			label: t("library.remove", { name }),
			onClick: remove
		})]
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
function Drafts() {
	const [drafts, again] = useAnswer(() => newest().catch(() => null), []);
	if (!drafts?.length) return null;
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsx)("h3", { children: t("library.drafts") }), (0, import_jsx_runtime.jsx)("ul", {
		className: "library-cards",
		"aria-label": t("library.drafts"),
		children: drafts.map((draft) => (0, import_jsx_runtime.jsx)(LibraryCard, {
			title: String(documentOf(draft).name || t("file.untitled")),
			text: when(draft.updated),
			workflow: documentOf(draft),
			open: () => void openDraft(draft.id).then(() => show(null)),
			remove: () => void call(`v1/drafts/${draft.id}`, { method: "DELETE" }).then(again)
		}, draft.id))
	})] });
}
// src/panels/LibraryDialog.tsx
var pictureOf = (thumbnail) => !thumbnail ? null : /^[0-9a-f]{32}$/.test(thumbnail) ? thumbnailUrl(thumbnail) : url(thumbnail);
var folderOf = (name) => name.slice(0, Math.max(0, name.lastIndexOf("/"))).trim();
function LibraryDialog() {
	const [query, setQuery] = (0, import_react.useState)("");
	const [shipped] = useAnswer(templates, []);
	const [saved, again] = useAnswer(() => call("v1/workflows"), []);
	const mine = (saved?.workflows ?? []).filter((one) => score(query, one.name, ...one.tags) > 0);
	const folders = [...new Set(mine.map((one) => folderOf(one.name)))].sort();
	const cards = (folder) => (0, import_jsx_runtime.jsx)("ul", {
		className: "library-cards",
		"aria-label": folder || t("library.mine"),
		children: mine.filter((one) => folderOf(one.name) === folder).map((one) => (0, import_jsx_runtime.jsx)(LibraryCard, {
			title: one.name.slice(folder ? folder.length + 1 : 0) || t("file.untitled"),
			text: one.tags.join(" · ") || new Date(one.updated * 1e3).toLocaleDateString(),
			picture: pictureOf(one.thumbnail),
			open: () => void openSaved(one.id),
			name: one.name,
			remove: () => void call(`v1/workflows/${one.id}`, { method: "DELETE" }).then(again)
		}, one.id))
	});
	const offered = (shipped ?? []).filter((one) => score(query, one.title, one.description) > 0);
	return (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("do.library"),
		className: "library",
		children: [
			(0, import_jsx_runtime.jsxs)("p", {
				className: "library-bar",
				children: [(0, import_jsx_runtime.jsx)("input", {
					type: "search",
					"aria-label": t("library.search"),
					placeholder: t("library.search"),
					value: query,
					autoFocus: true,
					onChange: (event) => setQuery(event.target.value)
				}), (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					onClick: () => {
						newWorkflow();
						show(null);
					},
					children: [(0, import_jsx_runtime.jsx)(Icon, { name: "plus" }), t("do.new")]
				})]
			}),
			(0, import_jsx_runtime.jsx)("h3", { children: t("library.mine") }),
			folders.map((folder) => folder && (0, import_jsx_runtime.jsxs)("details", {
				className: "folder",
				open: Boolean(query),
				children: [(0, import_jsx_runtime.jsxs)("summary", { children: [
					folder,
					" ",
					(0, import_jsx_runtime.jsx)("small", { children: mine.filter((one) => folderOf(one.name) === folder).length })
				] }), cards(folder)]
			}, folder)),
			cards(""),
			!mine.length && (0, import_jsx_runtime.jsx)("p", {
				className: "nothing",
				children: t("library.none")
			}),
			!query && (0, import_jsx_runtime.jsx)(Drafts, {}),
			(0, import_jsx_runtime.jsx)("h3", { children: t("library.templates") }),
			(0, import_jsx_runtime.jsx)("ul", {
				className: "library-cards",
				"aria-label": t("library.templates"),
				children: offered.map((one) => (0, import_jsx_runtime.jsx)(LibraryCard, {
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
// src/graph/replace.ts
function replaceNode(defs, workflow, graph, id, def) {
	const node = graph.nodes[id];
	if (!node) return {
		graph,
		kept: 0,
		lost: []
	};
	const before = definitionOf(defs, workflow, id, node, graph);
	const inputs = {};
	const lost = [];
	let kept = 0;
	for (const port of def.inputs) if (port.field && port.default !== null) inputs[port.name] = port.default;
	for (const [name, value] of Object.entries(node.inputs)) {
		const source = sourceOf(value);
		const origin = source && graph.nodes[source.node];
		const type = source && origin ? outputOf(definitionOf(defs, workflow, source.node, origin, graph), source.output)?.type ?? "*" : null;
		const free = (port) => !sourceOf(inputs[port.name]);
		const port = type !== null ? def.inputs.find((one) => one.name === name && fits(type, one.type)) ?? def.inputs.find((one) => free(one) && one.type === type) : def.inputs.find((one) => one.name === name && one.field && sameKind(before, one.name, one.field, value));
		if (port) inputs[port.name] = value;
		if (port) kept += 1;
		else lost.push(name);
	}
	let next = {
		...graph,
		nodes: {
			...graph.nodes,
			[id]: {
				...node,
				type: def.type,
				inputs
			}
		}
	};
	for (const wire of wires(graph).filter((one) => one.node === id)) {
		const type = outputOf(before, wire.output)?.type ?? "*";
		const output = def.outputs.find((one) => one.name === wire.output && fits(one.type, type)) ?? def.outputs.find((one) => fits(one.type, type));
		const target = next.nodes[wire.target];
		if (output && target) {
			kept += 1;
			const relinked = {
				...target,
				inputs: {
					...target.inputs,
					[wire.input]: linkTo(id, output.name)
				}
			};
			next = {
				...next,
				nodes: {
					...next.nodes,
					[wire.target]: relinked
				}
			};
		} else {
			lost.push(wire.output);
			next = disconnect(next, wire.target, wire.input);
		}
	}
	return {
		graph: next,
		kept,
		lost
	};
}
function sameKind(before, name, field, value) {
	const old = before.inputs.find((port) => port.name === name)?.field;
	if (old && !before.unknown) return widgetOf(old).kind === widgetOf(field).kind;
	return {
		integer: "number",
		number: "number",
		string: "string",
		boolean: "boolean"
	}[String(field.type)] === typeof value;
}
function replacements(defs, workflow, graph, id) {
	return [...new Set(defs.values())].filter((def) => def.type !== graph.nodes[id]?.type).map((def) => ({
		def,
		...replaceNode(defs, workflow, graph, id, def)
	})).sort((a, b) => a.lost.length - b.lost.length || b.kept - a.kept);
}
// src/panels/searches.tsx
function SearchDialog({ title, choose, stays = false, ...picker }) {
	const done = (choice) => {
		if (!stays) show(null);
		choose(choice);
	};
	return (0, import_jsx_runtime.jsx)(Dialog, {
		label: title,
		className: "search",
		children: (0, import_jsx_runtime.jsx)(Picker, {
			...picker,
			choose: done
		}, picker.label)
	});
}
function FindDialog() {
	const { graph, workflow } = current();
	const defs = useSchema.getState().definitions;
	const search = (query) => find(defs, workflow, graph, query).map((hit) => ({
		key: hit.node,
		label: hit.title,
		hint: hit.where || hit.node
	}));
	return (0, import_jsx_runtime.jsx)(SearchDialog, {
		title: t("do.find"),
		label: t("find.hint"),
		search,
		choose: ({ key }) => reveal(key)
	});
}
function CommandsDialog() {
	const defs = [...new Set(useSchema.getState().definitions.values())];
	const search = (query) => [...COMMANDS.filter((one) => !one.native && one.id !== "escape" && score(query, t(one.label), one.id) > 0).map((one) => ({
		key: `do:${one.id}`,
		label: t(one.label),
		hint: one.keys?.[0] && display(one.keys[0]),
		lead: (0, import_jsx_runtime.jsx)(Icon, { name: one.icon ?? "right" }),
		run: one.run
	})), ...(query ? matching(defs, query, null).slice(0, 20) : []).map((def) => ({
		key: `add:${def.type}`,
		label: t("commands.add", { title: def.title }),
		hint: def.category,
		lead: (0, import_jsx_runtime.jsx)(Dot, { def }),
		run: () => addAt(def, inGraph([innerWidth / 2 - 130, innerHeight / 3]), null)
	}))];
	return (0, import_jsx_runtime.jsx)(SearchDialog, {
		title: t("do.commands"),
		label: t("commands.hint"),
		search,
		choose: (choice) => choice.run()
	});
}
function ReplaceDialog({ id }) {
	const { graph, workflow } = current();
	const defs = useSchema.getState().definitions;
	const offers = replacements(defs, workflow, graph, id);
	const search = (query) => offers.filter(({ def }) => score(query, def.title, def.type, def.category) > 0).map(({ def, kept, lost }) => ({
		key: def.type,
		label: def.title,
		lead: (0, import_jsx_runtime.jsx)(Dot, { def }),
		def,
		hint: lost.length ? t("replace.loses", {
			kept,
			lost: lost.join(", ")
		}) : t("replace.keepsAll", { kept })
	}));
	const choose = ({ def }) => {
		edit((one) => replaceNode(defs, workflow, one, id, def).graph);
		reveal(id);
	};
	return (0, import_jsx_runtime.jsx)(SearchDialog, {
		title: t("replace.title", { title: titleOf(defs, workflow, graph, id) }),
		label: t("palette.search"),
		search,
		choose
	});
}
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
		return (0, import_jsx_runtime.jsx)(SearchDialog, {
			title: t("connect.from", { title }),
			label: t("connect.output"),
			search,
			choose: ({ key }) => setOutput(key),
			stays: true
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
		if (!loose) return;
		if (!node) return openPalette([innerWidth / 2 - 180, innerHeight / 4], loose);
		tryConnect(proposal(loose, node, port));
		reveal(node);
	};
	return (0, import_jsx_runtime.jsx)(SearchDialog, {
		title: t("connect.to", {
			title,
			output
		}),
		label: t("connect.input"),
		search,
		choose
	});
}
// src/widgets/pinch.ts
var WHOLE = {
	x: 0,
	y: 0,
	scale: 1
};
var CLOSEST = 8;
var span = ([ax, ay], [bx, by]) => Math.max(1, Math.hypot(ax - bx, ay - by));
function pinched(view, held, from, to, frame) {
	const scale = Math.min(CLOSEST, Math.max(1, view.scale * span(held, to) / span(held, from)));
	const place = (axis, at, start, size) => {
		const [was, is] = [(held[axis] + from[axis]) / 2 - start, (held[axis] + to[axis]) / 2 - start];
		return Math.min(0, Math.max(size * (1 - scale), is - (was - at) * scale / view.scale));
	};
	return {
		scale,
		x: place(0, view.x, frame.x, frame.width),
		y: place(1, view.y, frame.y, frame.height)
	};
}
// src/panels/MaskDialog.tsx
function load(address) {
	const image = Object.assign(new Image(), { src: address });
	return image.decode().then(() => image);
}
var PEN_ERASER = 32;
var contextOf = (canvas) => canvas?.getContext("2d", { willReadFrequently: true }) ?? null;
function withHole(picture, mask) {
	const canvas = document.createElement("canvas");
	[canvas.width, canvas.height] = [mask.width, mask.height];
	const context = contextOf(canvas);
	context?.drawImage(picture, 0, 0);
	if (context) context.globalCompositeOperation = "destination-out";
	context?.drawImage(mask, 0, 0);
	return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
var SHORT = 12;
function MaskDialog({ node, input, asset }) {
	const canvas = (0, import_react.useRef)(null);
	const picture = (0, import_react.useRef)(null);
	const past = (0, import_react.useRef)([]);
	const painting = (0, import_react.useRef)(null);
	const fingers = (0, import_react.useRef)(new Map());
	const pen = (0, import_react.useRef)(false);
	const [view, setView] = (0, import_react.useState)(WHOLE);
	const [size, setSize] = (0, import_react.useState)(32);
	const [erase, setErase] = (0, import_react.useState)(false);
	const [steps, setSteps] = (0, import_react.useState)(0);
	const [ratio, setRatio] = (0, import_react.useState)(1);
	(0, import_react.useEffect)(() => {
		load(assetUrl(asset)).then((image) => {
			picture.current = image;
			if (canvas.current) [canvas.current.width, canvas.current.height] = [image.naturalWidth, image.naturalHeight];
			setSize(Math.max(4, Math.round(image.naturalWidth / 16)));
			setRatio(image.naturalWidth / image.naturalHeight);
		}, () => sayError(t("mask.unreadable")));
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
	const stroke = (event, from) => {
		const context = contextOf(event.currentTarget);
		if (!context) return;
		const to = point(event);
		context.globalCompositeOperation = erase || event.buttons & PEN_ERASER ? "destination-out" : "source-over";
		[context.strokeStyle, context.lineWidth, context.lineCap] = [
			"#fff",
			size * (event.pointerType === "pen" ? .4 + event.pressure : 1),
			"round"
		];
		context.beginPath();
		context.moveTo(...from.last);
		context.lineTo(to[0] + .01, to[1]);
		context.stroke();
		from.last = to;
	};
	const undo = () => {
		const step = past.current.pop();
		if (step) contextOf(canvas.current)?.putImageData(step, 0, 0);
		setSteps(past.current.length);
	};
	const press = (event) => {
		const [at, touches] = [[event.clientX, event.clientY], event.pointerType === "touch"];
		pen.current ||= event.pointerType === "pen";
		const now = painting.current;
		if (now && event.pointerType !== "pen" && !(touches && now.mayEnd)) return;
		event.currentTarget.setPointerCapture(event.pointerId);
		if (touches) fingers.current.set(event.pointerId, at);
		if (now?.mayEnd) undo();
		painting.current = null;
		if (touches && (pen.current || fingers.current.size > 1)) return;
		painting.current = {
			pointer: event.pointerId,
			began: at,
			mayEnd: touches,
			last: point(event)
		};
		keep();
		stroke(event, painting.current);
	};
	const move = (event) => {
		const [at, now] = [[event.clientX, event.clientY], painting.current];
		if (now?.pointer === event.pointerId) {
			now.mayEnd &&= Math.hypot(at[0] - now.began[0], at[1] - now.began[1]) < SHORT;
			stroke(event, now);
		}
		const from = fingers.current.get(event.pointerId);
		const held = [...fingers.current].find(([finger]) => finger !== event.pointerId)?.[1];
		const frame = event.currentTarget.parentElement?.getBoundingClientRect();
		if (from) fingers.current.set(event.pointerId, at);
		if (from && held && frame && !now) setView((old) => pinched(old, held, from, at, frame));
	};
	const lift = (event) => {
		fingers.current.delete(event.pointerId);
		if (painting.current?.pointer === event.pointerId) painting.current = null;
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
			edit((graph) => setValue(graph, node, input, made.name));
			show(null);
		} catch (error) {
			sayError(error);
		}
	};
	return (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("mask.paint"),
		className: "mask",
		children: [(0, import_jsx_runtime.jsxs)("p", {
			className: "buttons",
			children: [
				(0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					"aria-pressed": !erase,
					onClick: () => setErase(false),
					children: [(0, import_jsx_runtime.jsx)(Icon, { name: "brush" }), t("mask.brush")]
				}),
				(0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					"aria-pressed": erase,
					onClick: () => setErase(true),
					children: [(0, import_jsx_runtime.jsx)(Icon, { name: "minus" }), t("mask.erase")]
				}),
				(0, import_jsx_runtime.jsxs)("label", { children: [t("mask.size"), (0, import_jsx_runtime.jsx)("input", {
					type: "range",
					min: 2,
					max: 256,
					value: size,
					onChange: (event) => setSize(Number(event.target.value))
				})] }),
				(0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					disabled: !steps,
					onClick: undo,
					children: [(0, import_jsx_runtime.jsx)(Icon, { name: "undo" }), t("do.undo")]
				}),
				(0, import_jsx_runtime.jsx)("button", {
					type: "button",
					onClick: invert,
					children: t("mask.invert")
				}),
				view.scale > 1 && (0, import_jsx_runtime.jsx)(IconButton, {
					icon: "fit",
					label: t("view.fit"),
					title: t("view.fit"),
					onClick: () => setView(WHOLE)
				}),
				(0, import_jsx_runtime.jsx)("button", {
					type: "button",
					className: "primary",
					onClick: () => void save(),
					children: t("mask.save")
				})
			]
		}), (0, import_jsx_runtime.jsxs)("div", {
			className: "mask-area",
			style: {
				"--ratio": ratio,
				"--view": `translate(${view.x}px, ${view.y}px) scale(${view.scale})`
			},
			children: [(0, import_jsx_runtime.jsx)("img", {
				src: assetUrl(asset),
				alt: ""
			}), (0, import_jsx_runtime.jsx)("canvas", {
				ref: canvas,
				"aria-label": t("mask.canvas"),
				onPointerDown: press,
				onPointerMove: move,
				onPointerUp: lift,
				onPointerCancel: lift
			})]
		})]
	});
}
// src/panels/saving.tsx
function SaveDialog() {
	const file = useSession((state) => state.file);
	const submit = (event) => {
		event.preventDefault();
		const data = new FormData(event.currentTarget);
		const tags = String(data.get("tags") ?? "").split(",").map((tag) => tag.trim()).filter(Boolean);
		saveAs(String(data.get("name") ?? "").trim() || t("file.untitled"), tags, true);
	};
	return (0, import_jsx_runtime.jsx)(Dialog, {
		label: t("save.title"),
		className: "small",
		children: (0, import_jsx_runtime.jsxs)("form", {
			onSubmit: submit,
			children: [
				(0, import_jsx_runtime.jsxs)("label", { children: [
					t("save.name"),
					(0, import_jsx_runtime.jsx)("input", {
						name: "name",
						defaultValue: current().workflow.name,
						autoFocus: true,
						required: true,
						"aria-describedby": "folder-hint"
					}),
					(0, import_jsx_runtime.jsx)("small", {
						id: "folder-hint",
						children: t("save.folderHint")
					})
				] }),
				(0, import_jsx_runtime.jsxs)("label", { children: [t("save.tags"), (0, import_jsx_runtime.jsx)("input", {
					name: "tags",
					placeholder: t("save.tagsHint")
				})] }),
				(0, import_jsx_runtime.jsxs)("p", {
					className: "buttons",
					children: [(0, import_jsx_runtime.jsx)("button", {
						type: "submit",
						className: "primary",
						children: t(file ? "save.asNew" : "save.save")
					}), (0, import_jsx_runtime.jsx)("button", {
						type: "button",
						onClick: () => show(null),
						children: t("dialog.cancel")
					})]
				})
			]
		})
	});
}
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
	return (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("conflict.title"),
		className: "small",
		children: [
			(0, import_jsx_runtime.jsx)("p", { children: t("conflict.text") }),
			(0, import_jsx_runtime.jsxs)("p", {
				className: "buttons",
				children: [
					(0, import_jsx_runtime.jsx)("button", {
						type: "button",
						className: "primary",
						onClick: () => void keep(),
						children: t("conflict.keep")
					}),
					(0, import_jsx_runtime.jsx)("button", {
						type: "button",
						onClick: () => void take(),
						children: t("conflict.take")
					}),
					(0, import_jsx_runtime.jsx)("button", {
						type: "button",
						onClick: () => void compare(),
						children: t("conflict.compare")
					})
				]
			}),
			found && (0, import_jsx_runtime.jsx)(Changes, { found })
		]
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
	return (0, import_jsx_runtime.jsxs)(Dialog, {
		label: t("do.shortcuts"),
		className: "shortcuts",
		children: [(0, import_jsx_runtime.jsx)("div", {
			className: "columns",
			children: GROUPS.map((group) => (0, import_jsx_runtime.jsxs)("section", { children: [(0, import_jsx_runtime.jsx)("h3", { children: t(`group.${group}`) }), (0, import_jsx_runtime.jsx)("dl", { children: COMMANDS.filter((one) => one.group === group && one.keys).map((one) => (0, import_jsx_runtime.jsxs)("div", { children: [(0, import_jsx_runtime.jsx)("dt", { children: t(one.label) }), (0, import_jsx_runtime.jsx)("dd", { children: one.keys?.map((keys) => (0, import_jsx_runtime.jsx)("kbd", { children: display(keys) }, keys)) })] }, one.id)) })] }, group))
		}), (0, import_jsx_runtime.jsx)("p", { children: t("shortcuts.mouse") })]
	});
}
// src/panels/TextDialog.tsx
function TextDialog({ node, input }) {
	const value = useDocument((state) => state.graph.nodes[node]?.inputs[input]);
	const set = (text) => edit((graph) => setValue(graph, node, input, text), `value ${node}.${input}`);
	return (0, import_jsx_runtime.jsxs)(Dialog, {
		label: `${titleOf(useSchema.getState().definitions, current().workflow, current().graph, node)} · ${input}`,
		className: "text",
		children: [(0, import_jsx_runtime.jsx)("textarea", {
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
		}), (0, import_jsx_runtime.jsx)("p", { children: (0, import_jsx_runtime.jsx)("small", { children: t("text.keys") }) })]
	});
}
// src/panels/Viewer.tsx
function Settings({ workflow }) {
	const defs = useSchema((state) => state.definitions);
	return (0, import_jsx_runtime.jsx)("dl", {
		className: "settings",
		children: Object.entries(workflow.nodes).map(([id, node]) => {
			const literals = Object.entries(node.inputs).filter(([, value]) => !sourceOf(value) && value !== null && value !== "");
			if (!literals.length) return null;
			return (0, import_jsx_runtime.jsxs)("div", { children: [(0, import_jsx_runtime.jsx)("dt", { children: titleOf(defs, workflow, workflow, id) }), literals.map(([name, value]) => (0, import_jsx_runtime.jsxs)("dd", { children: [
				(0, import_jsx_runtime.jsx)("span", { children: name }),
				" ",
				typeof value === "object" ? JSON.stringify(value) : String(value)
			] }, name))] }, id);
		})
	});
}
function branchOf(workflow, node) {
	const needed = ancestors(workflow, [node]);
	return remove(workflow, Object.keys(workflow.nodes).filter((id) => !needed.has(id)));
}
function Viewer({ asset }) {
	const none = (error) => {
		if (error.status !== 404) throw error;
		return null;
	};
	const [workflow] = useAnswer(() => workflowOf(asset.id).catch(none), [asset.id]);
	const openIt = (opened) => {
		if (!opened) return;
		show(null);
		openWorkflow(opened);
	};
	const branch = workflow && asset.node && workflow.nodes[asset.node] ? branchOf(workflow, asset.node) : null;
	const smaller = branch && workflow && Object.keys(branch.nodes).length < Object.keys(workflow.nodes).length;
	const size = asset.width && asset.height ? `${asset.width} × ${asset.height}` : "";
	return (0, import_jsx_runtime.jsx)(Dialog, {
		label: asset.name,
		className: "viewer",
		children: (0, import_jsx_runtime.jsxs)("div", {
			className: "viewer-body",
			children: [(0, import_jsx_runtime.jsx)("div", {
				className: "viewer-picture",
				children: asset.media_type.startsWith("image/") ? (0, import_jsx_runtime.jsx)("img", {
					src: assetUrl(asset.id),
					alt: asset.name
				}) : asset.media_type.startsWith("video/") ? (0, import_jsx_runtime.jsx)("video", {
					src: assetUrl(asset.id),
					controls: true,
					loop: true
				}) : asset.media_type.startsWith("text/") ? (0, import_jsx_runtime.jsx)(TextOutput, { asset: asset.id }) : (0, import_jsx_runtime.jsx)(Icon, {
					name: "form",
					size: 48
				})
			}), (0, import_jsx_runtime.jsxs)("div", {
				className: "viewer-side",
				children: [
					(0, import_jsx_runtime.jsxs)("p", {
						className: "buttons",
						children: [
							(0, import_jsx_runtime.jsx)("button", {
								type: "button",
								className: "primary",
								disabled: !workflow,
								onClick: () => openIt(workflow),
								children: t("viewer.open")
							}),
							smaller && (0, import_jsx_runtime.jsx)("button", {
								type: "button",
								onClick: () => openIt(branch),
								children: t("viewer.branch")
							}),
							(0, import_jsx_runtime.jsxs)("a", {
								className: "button",
								href: assetUrl(asset.id),
								download: asset.name,
								children: [(0, import_jsx_runtime.jsx)(Icon, { name: "download" }), t("viewer.download")]
							})
						]
					}),
					(0, import_jsx_runtime.jsx)("p", { children: (0, import_jsx_runtime.jsx)("small", { children: [
						size,
						asset.size ? bytes(asset.size) : "",
						asset.media_type
					].filter(Boolean).join(" · ") }) }),
					workflow ? (0, import_jsx_runtime.jsx)(Settings, { workflow }) : (0, import_jsx_runtime.jsx)("p", {
						className: "nothing",
						children: t("viewer.noWorkflow")
					})
				]
			})]
		})
	});
}
// src/panels/dialogs.tsx
function body(dialog) {
	switch (dialog.kind) {
		case "shortcuts": return (0, import_jsx_runtime.jsx)(ShortcutsDialog, {});
		case "commands": return (0, import_jsx_runtime.jsx)(CommandsDialog, {});
		case "find": return (0, import_jsx_runtime.jsx)(FindDialog, {});
		case "library": return (0, import_jsx_runtime.jsx)(LibraryDialog, {});
		case "viewer": return (0, import_jsx_runtime.jsx)(Viewer, { asset: dialog.asset }, dialog.asset.id);
		case "compare": return (0, import_jsx_runtime.jsx)(Compare, {
			left: dialog.left,
			right: dialog.right
		});
		case "replace": return (0, import_jsx_runtime.jsx)(ReplaceDialog, { id: dialog.node });
		case "connect": return (0, import_jsx_runtime.jsx)(ConnectDialog, { id: dialog.node });
		case "mask": return (0, import_jsx_runtime.jsx)(MaskDialog, {
			node: dialog.node,
			input: dialog.input,
			asset: dialog.asset
		});
		case "text": return (0, import_jsx_runtime.jsx)(TextDialog, {
			node: dialog.node,
			input: dialog.input
		});
		case "batch": return (0, import_jsx_runtime.jsx)(BatchDialog, {});
		case "save": return (0, import_jsx_runtime.jsx)(SaveDialog, {});
		case "conflict": return (0, import_jsx_runtime.jsx)(ConflictDialog, {});
	}
}
function Dialogs() {
	const dialog = useView((view) => view.dialog);
	return dialog && body(dialog);
}
// src/panels/Gallery.tsx
var PAGE = 48;
function useOutputs() {
	const news = useRun((state) => state.assets);
	const [assets, setAssets] = (0, import_react.useState)([]);
	const [end, setEnd] = (0, import_react.useState)(false);
	const load = async (before) => {
		const query = before ? `&before=${before.id}` : "";
		const answer = await call(`v1/assets?kind=output&limit=${PAGE}${query}`);
		setEnd(answer.assets.length < PAGE);
		setAssets((known) => {
			const list = before ? [...known, ...answer.assets] : [...answer.assets, ...known];
			const seen = new Set();
			return list.filter((asset) => !seen.has(`${asset.id} ${asset.name}`) && seen.add(`${asset.id} ${asset.name}`));
		});
	};
	(0, import_react.useEffect)(() => void load(null), [news]);
	return {
		assets,
		end,
		more: () => {
			const last = assets.at(-1);
			if (last && !end) load(last);
		}
	};
}
function Thumb({ asset, chosen, open }) {
	const isImage = asset.media_type.startsWith("image/");
	return (0, import_jsx_runtime.jsx)("button", {
		type: "button",
		className: `thumb ${chosen ? "chosen" : ""}`,
		"aria-label": asset.name,
		title: asset.name,
		onClick: open,
		children: isImage ? (0, import_jsx_runtime.jsx)("img", {
			src: thumbnailUrl(asset.id),
			alt: "",
			loading: "lazy",
			draggable: false
		}) : (0, import_jsx_runtime.jsxs)("span", {
			className: "thumb-file",
			children: [(0, import_jsx_runtime.jsx)(Icon, {
				name: asset.media_type.startsWith("video/") ? "play" : "form",
				size: 22
			}), asset.name]
		})
	});
}
function Gallery() {
	const { assets, more, end } = useOutputs();
	const [comparing, setComparing] = (0, import_react.useState)(null);
	const last = (0, import_react.useRef)(null);
	(0, import_react.useEffect)(() => {
		const watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more());
		if (last.current) watcher.observe(last.current);
		return () => watcher.disconnect();
	});
	const open = (asset) => {
		if (!comparing) return show({
			kind: "viewer",
			asset
		});
		const [left] = comparing;
		if (left) {
			setComparing(null);
			show({
				kind: "compare",
				left,
				right: asset
			});
		} else setComparing([asset]);
	};
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "gallery",
		children: [
			(0, import_jsx_runtime.jsx)("p", {
				className: "buttons",
				children: (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					"aria-pressed": comparing !== null,
					disabled: assets.length < 2,
					onClick: () => {
						setComparing(comparing ? null : []);
						if (!comparing) say(t("compare.chooseTwo"));
					},
					children: [(0, import_jsx_runtime.jsx)(Icon, { name: "compare" }), t("compare.start")]
				})
			}),
			assets.length === 0 && (0, import_jsx_runtime.jsx)("p", {
				className: "nothing",
				children: t("gallery.empty")
			}),
			(0, import_jsx_runtime.jsx)("div", {
				className: "thumbs",
				children: assets.map((asset) => (0, import_jsx_runtime.jsx)(Thumb, {
					asset,
					chosen: comparing?.includes(asset) ?? false,
					open: () => open(asset)
				}, `${asset.id} ${asset.name}`))
			}),
			!end && (0, import_jsx_runtime.jsx)("div", {
				ref: last,
				className: "more"
			})
		]
	});
}
// src/graph/markdown.ts
var PATTERN = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/g;
function inline(source) {
	const parts = [];
	let end = 0;
	for (const match of source.matchAll(PATTERN)) {
		if (match.index > end) parts.push({
			kind: "text",
			text: source.slice(end, match.index)
		});
		end = match.index + match[0].length;
		const [, code, strong, em, label, href] = match;
		if (code !== void 0) parts.push({
			kind: "code",
			text: code
		});
		else if (strong !== void 0) parts.push({
			kind: "strong",
			text: strong
		});
		else if (em !== void 0) parts.push({
			kind: "em",
			text: em
		});
		else parts.push({
			kind: "link",
			text: label ?? "",
			href: href ?? ""
		});
	}
	if (end < source.length) parts.push({
		kind: "text",
		text: source.slice(end)
	});
	return parts;
}
function markdown(source) {
	return source.replaceAll("\r\n", "\n").split(/```[^\n]*\n([\s\S]*?)```/).flatMap((part, index) => {
		if (index % 2) return [{
			kind: "code",
			text: part.trimEnd()
		}];
		return part.split(/\n\s*\n/).filter((text) => text.trim()).map(block);
	});
}
function block(source) {
	const lines = source.trim().split("\n");
	if (lines.every((line) => /^\s*([-*]|\d+\.)\s/.test(line) || /^\s{2,}\S/.test(line))) return {
		kind: "list",
		items: source.trim().split(/\n(?=\s*(?:[-*]|\d+\.)\s)/).map((item) => inline(item.replace(/^\s*([-*]|\d+\.)\s+/, "").replace(/\s*\n\s*/g, " ")))
	};
	const heading = /^#{1,6}\s+(.*)$/.exec(source.trim());
	if (heading) return {
		kind: "heading",
		inline: inline(heading[1] ?? "")
	};
	return {
		kind: "paragraph",
		inline: inline(lines.map((line) => line.trim()).join(" "))
	};
}
// src/panels/Markdown.tsx
var TAGS = {
	text: "span",
	code: "code",
	strong: "strong",
	em: "em"
};
function Line({ parts }) {
	return parts.map((part, index) => {
		if (part.kind === "link") return (0, import_jsx_runtime.jsx)("a", {
			href: part.href,
			rel: "noopener noreferrer",
			target: "_blank",
			title: part.href,
			children: part.text
		}, index);
		const Tag = TAGS[part.kind];
		return (0, import_jsx_runtime.jsx)(Tag, { children: part.text }, index);
	});
}
function Markdown({ source }) {
	return markdown(source).map((block, index) => {
		if (block.kind === "code") return (0, import_jsx_runtime.jsx)("pre", {
			tabIndex: 0,
			children: block.text
		}, index);
		if (block.kind === "list") return (0, import_jsx_runtime.jsx)("ul", { children: block.items.map((item, i) => (0, import_jsx_runtime.jsx)("li", { children: (0, import_jsx_runtime.jsx)(Line, { parts: item }) }, i)) }, index);
		return block.kind === "heading" ? (0, import_jsx_runtime.jsx)("h3", { children: (0, import_jsx_runtime.jsx)(Line, { parts: block.inline }) }, index) : (0, import_jsx_runtime.jsx)("p", { children: (0, import_jsx_runtime.jsx)(Line, { parts: block.inline }) }, index);
	});
}
// src/panels/NodePanel.tsx
function Ports({ label, ports }) {
	if (!ports.length) return null;
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsx)("h3", { children: label }), (0, import_jsx_runtime.jsx)("dl", {
		className: "ports",
		children: ports.map((port) => (0, import_jsx_runtime.jsxs)("div", { children: [(0, import_jsx_runtime.jsxs)("dt", { children: [
			port.name,
			" ",
			(0, import_jsx_runtime.jsx)("code", {
				style: { color: colorOf(port.type) },
				children: port.type
			})
		] }), port.description && (0, import_jsx_runtime.jsx)("dd", { children: port.description })] }, port.name))
	})] });
}
async function openExample(name) {
	const found = (await templates()).find((template) => template.name === name);
	if (found) openTemplate(found);
}
function Help({ def }) {
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "help",
		children: [
			(0, import_jsx_runtime.jsxs)("p", {
				className: "help-type",
				children: [
					(0, import_jsx_runtime.jsx)("code", { children: def.type }),
					" ",
					(0, import_jsx_runtime.jsx)("small", { children: [def.category, def.pack].filter(Boolean).join(" · ") })
				]
			}),
			def.unknown && (0, import_jsx_runtime.jsx)("p", {
				className: "card-problem",
				children: t("problem.unknown_node", { type: def.type })
			}),
			(0, import_jsx_runtime.jsx)(Markdown, { source: def.description }),
			(0, import_jsx_runtime.jsx)(Ports, {
				label: t("help.inputs"),
				ports: def.inputs
			}),
			(0, import_jsx_runtime.jsx)(Ports, {
				label: t("help.outputs"),
				ports: def.outputs
			}),
			def.example && (0, import_jsx_runtime.jsx)("p", { children: (0, import_jsx_runtime.jsx)("button", {
				type: "button",
				onClick: () => void openExample(def.example),
				children: t("help.example")
			}) })
		]
	});
}
function Chosen({ id }) {
	const def = useDefinition(id);
	const node = useDocument((state) => state.graph.nodes[id]);
	const run = useNodeRun(id);
	if (!def || !node) return null;
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [
		(0, import_jsx_runtime.jsxs)("label", {
			className: "named",
			children: [t("card.name"), (0, import_jsx_runtime.jsx)("input", {
				value: node.title ?? def.title,
				onChange: (event) => edit((graph) => setTitle(graph, id, event.target.value), `title ${id}`)
			})]
		}),
		(0, import_jsx_runtime.jsxs)("p", {
			className: "buttons",
			children: [
				(0, import_jsx_runtime.jsx)("button", {
					type: "button",
					"aria-pressed": node.mode === "bypass",
					onClick: () => edit((graph) => toggleMode(graph, [id], "bypass")),
					children: t("do.bypass")
				}),
				(0, import_jsx_runtime.jsx)("button", {
					type: "button",
					"aria-pressed": node.mode === "mute",
					onClick: () => edit((graph) => toggleMode(graph, [id], "mute")),
					children: t("do.mute")
				}),
				(0, import_jsx_runtime.jsx)("button", {
					type: "button",
					"aria-pressed": Boolean(node.frozen),
					onClick: () => void toggleFrozen([id]),
					children: t(node.frozen ? "node.thaw" : "do.freeze")
				})
			]
		}),
		run && (0, import_jsx_runtime.jsxs)("p", {
			className: "last-run",
			children: [
				(0, import_jsx_runtime.jsx)("span", {
					className: `badge ${run.state}`,
					children: badgeText(run)
				}),
				" ",
				badgeHint(run, id)
			]
		}),
		(0, import_jsx_runtime.jsx)(Help, { def })
	] });
}
function NodePanel() {
	const id = useView((view) => view.nodes.find((node) => node.selected && node.type === "card")?.id);
	return id === void 0 ? (0, import_jsx_runtime.jsx)("p", {
		className: "nothing",
		children: t("node.none")
	}) : (0, import_jsx_runtime.jsx)(Chosen, { id }, id);
}
// src/panels/Outline.tsx
function Row$1({ id, title, where }) {
	const run = useNodeRun(id);
	const broken = useProblems((state) => state.byNode.has(id));
	const type = useDocument((state) => state.graph.nodes[id]?.type);
	const mode = useDocument((state) => state.graph.nodes[id]?.mode);
	return (0, import_jsx_runtime.jsx)("li", { children: (0, import_jsx_runtime.jsxs)("button", {
		type: "button",
		className: `outline-row ${broken ? "broken" : ""} ${mode ?? ""}`,
		onClick: () => reveal(id),
		children: [
			(0, import_jsx_runtime.jsx)("b", { children: title }),
			(0, import_jsx_runtime.jsx)("small", { children: where || (type === title ? id : type) }),
			run && (0, import_jsx_runtime.jsx)("span", {
				className: `badge ${run.state}`,
				children: badgeText(run)
			})
		]
	}) });
}
function Outline() {
	const [query, setQuery] = (0, import_react.useState)("");
	const graph = useDocument((state) => state.graph);
	const workflow = useDocument((state) => state.workflow);
	const defs = useSchema((state) => state.definitions);
	const hits = new Map(find(defs, workflow, graph, query).map((hit) => [hit.node, hit]));
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "outline",
		children: [(0, import_jsx_runtime.jsx)("input", {
			type: "search",
			"aria-label": t("outline.search"),
			placeholder: t("outline.search"),
			value: query,
			onChange: (event) => setQuery(event.target.value)
		}), (0, import_jsx_runtime.jsx)("ol", {
			"aria-label": t("panel.outline"),
			children: inOrder(graph).flatMap((id) => {
				const hit = hits.get(id);
				return hit ? [(0, import_jsx_runtime.jsx)(Row$1, {
					id,
					title: hit.title,
					where: hit.where
				}, id)] : [];
			})
		})]
	});
}
// src/panels/Problems.tsx
function goTo(problem) {
	if (problem.node === null) return;
	if (current().path.length) enter([]);
	const shown = visibleNode(problem.node) ?? problem.node;
	reveal(shown);
	const row = `.react-flow__node[data-id="${CSS.escape(shown)}"] [data-input="${CSS.escape(problem.input ?? "")}"]`;
	if (problem.input !== null) setTimeout(() => document.querySelector(`${row} :is(input, select, textarea)`)?.focus({ preventScroll: true }), 250);
}
function Fixes({ problem }) {
	const names = Array.isArray(problem.details.nearest) ? problem.details.nearest.map(String) : [];
	const { node, input } = problem;
	if (node === null || !names.length) return null;
	const fix = (name) => {
		if (input !== null) return edit((graph) => setValue(graph, node, input, name));
		const { graph, workflow } = current();
		const defs = useSchema.getState().definitions;
		const found = replacements(defs, workflow, graph, node).find(({ def }) => def.type === name);
		if (found) edit((one) => ({
			...one,
			nodes: {
				...one.nodes,
				[node]: {
					...one.nodes[node] ?? { inputs: {} },
					type: found.def.type
				}
			}
		}));
	};
	return (0, import_jsx_runtime.jsx)("p", {
		className: "fixes",
		children: names.map((name) => (0, import_jsx_runtime.jsx)("button", {
			type: "button",
			onClick: () => fix(name),
			children: t("problem.use", { name })
		}, name))
	});
}
function Problems() {
	const list = useProblems((state) => state.list);
	const defs = useSchema((state) => state.definitions);
	if (!list.length) return (0, import_jsx_runtime.jsxs)("p", {
		className: "nothing",
		children: [
			(0, import_jsx_runtime.jsx)(Icon, { name: "check" }),
			" ",
			t("problem.none")
		]
	});
	return (0, import_jsx_runtime.jsx)("ul", {
		className: "problems",
		children: list.map((problem, index) => (0, import_jsx_runtime.jsxs)("li", { children: [(0, import_jsx_runtime.jsxs)("button", {
			type: "button",
			className: "problem",
			disabled: problem.node === null,
			onClick: () => goTo(problem),
			children: [(0, import_jsx_runtime.jsxs)("b", { children: [problem.node === null ? t("problem.workflow") : titleOf(defs, current().workflow, current().workflow, problem.node), problem.input !== null && (0, import_jsx_runtime.jsx)("code", { children: problem.input })] }), (0, import_jsx_runtime.jsx)("span", { children: explain(problem) })]
		}), (0, import_jsx_runtime.jsx)(Fixes, { problem })] }, index))
	});
}
// src/panels/Queue.tsx
async function openJob(id) {
	const job = await call(`v1/jobs/${id}`);
	if (job.workflow) openWorkflow(cleanWorkflow(job.workflow ?? {}));
}
function describe(job) {
	if (job.status === "running") return `${Math.round(job.progress * 100)} %`;
	if (job.status === "failed") return job.error?.message ?? t("job.failed");
	if (job.status === "done" && job.started !== null && job.finished !== null) return [seconds(job.finished - job.started), ...job.peak ? [t("job.peak", { memory: bytes(job.peak) })] : []].join(" · ");
	return t(`job.${job.status}`);
}
function Row({ job, place }) {
	const [over, setOver] = (0, import_react.useState)(false);
	const pending = job.status === "queued";
	const drop = (event) => {
		event.preventDefault();
		setOver(false);
		const id = event.dataTransfer.getData("text/x-job");
		if (id && place !== void 0) placeJob(id, place);
	};
	const picture = job.outputs.find((output) => output.media_type.startsWith("image/"));
	return (0, import_jsx_runtime.jsxs)("li", {
		className: `job ${job.status} ${over ? "over" : ""}`,
		draggable: pending,
		onDragStart: (event) => event.dataTransfer.setData("text/x-job", job.id),
		onDragOver: (event) => {
			if (pending) {
				event.preventDefault();
				setOver(true);
			}
		},
		onDragLeave: () => setOver(false),
		onDrop: drop,
		children: [
			picture ? (0, import_jsx_runtime.jsx)("img", {
				src: thumbnailUrl(picture.asset, 64),
				alt: ""
			}) : (0, import_jsx_runtime.jsx)("i", { className: "job-mark" }),
			(0, import_jsx_runtime.jsxs)("span", {
				className: "job-text",
				children: [
					(0, import_jsx_runtime.jsx)("b", { children: job.name || t("file.untitled") }),
					(0, import_jsx_runtime.jsxs)("small", {
						title: job.error?.message,
						children: [
							clock(job.created),
							" · ",
							describe(job)
						]
					}),
					job.status === "running" && (0, import_jsx_runtime.jsx)("span", {
						className: "bar",
						children: (0, import_jsx_runtime.jsx)("i", { style: { transform: `scaleX(${job.progress})` } })
					})
				]
			}),
			pending && place !== void 0 && place > 0 && (0, import_jsx_runtime.jsx)(IconButton, {
				icon: "up",
				label: t("queue.next"),
				title: t("queue.next"),
				onClick: () => void placeJob(job.id, "front")
			}),
			isActive(job) ? (0, import_jsx_runtime.jsx)(IconButton, {
				icon: "close",
				label: t("queue.cancel"),
				title: t("queue.cancel"),
				onClick: () => void cancelJob(job.id)
			}) : (0, import_jsx_runtime.jsx)(IconButton, {
				icon: "enter",
				label: t("queue.open"),
				title: t("queue.open"),
				onClick: () => void openJob(job.id)
			})
		]
	});
}
function Queue() {
	const state = useRun();
	const active = activeJobs(state);
	const pending = active.filter((job) => job.status === "queued");
	const finished = Object.values(state.jobs).filter((job) => !isActive(job)).sort((a, b) => b.created - a.created).slice(0, 30);
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "queue",
		children: [
			(0, import_jsx_runtime.jsxs)("p", {
				className: "buttons",
				children: [(0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					"aria-pressed": state.paused,
					onClick: () => void setPaused(!state.paused),
					children: [(0, import_jsx_runtime.jsx)(Icon, { name: state.paused ? "play" : "pause" }), t(state.paused ? "queue.resume" : "queue.pause")]
				}), (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					disabled: !pending.length,
					onClick: () => void clearQueue(),
					children: [(0, import_jsx_runtime.jsx)(Icon, { name: "trash" }), t("queue.clear")]
				})]
			}),
			(0, import_jsx_runtime.jsx)("h3", { children: t("queue.active") }),
			(0, import_jsx_runtime.jsxs)("ul", {
				"aria-label": t("queue.active"),
				children: [active.map((job) => job.status === "queued" ? (0, import_jsx_runtime.jsx)(Row, {
					job,
					place: pending.indexOf(job)
				}, job.id) : (0, import_jsx_runtime.jsx)(Row, { job }, job.id)), !active.length && (0, import_jsx_runtime.jsx)("li", {
					className: "nothing",
					children: t("queue.empty")
				})]
			}),
			(0, import_jsx_runtime.jsx)("h3", { children: t("queue.finished") }),
			(0, import_jsx_runtime.jsx)("ul", {
				"aria-label": t("queue.finished"),
				children: finished.map((job) => (0, import_jsx_runtime.jsx)(Row, { job }, job.id))
			})
		]
	});
}
// src/panels/Tour.tsx
var HEIGHT = 164;
var STEPS = [
	{
		at: ".react-flow__node-card",
		text: "tour.nodes"
	},
	{
		at: ".field.multiline",
		text: "tour.prompt"
	},
	{
		at: ".primary.run",
		text: "tour.run"
	},
	{
		at: ".react-flow__pane",
		text: "tour.add"
	},
	{
		at: ".rail",
		text: "tour.results"
	}
];
function Tour() {
	const step = useView((view) => view.tour);
	const [box, setBox] = (0, import_react.useState)(null);
	const next = (0, import_react.useRef)(null);
	const one = step === null ? void 0 : STEPS[step];
	(0, import_react.useEffect)(() => {
		if (!one) return;
		setBox(document.querySelector(one.at)?.getBoundingClientRect() ?? null);
		next.current?.focus({ preventScroll: true });
	}, [one]);
	if (step === null || !one) return null;
	const go = (to) => {
		if (to >= STEPS.length) localStorage.setItem(TOUR, "1");
		useView.setState({ tour: to < STEPS.length ? to : null });
	};
	const wide = box && box.width > innerWidth / 2 && box.height > innerHeight / 2;
	const tall = box && box.height > innerHeight / 2 && !wide;
	const low = box && box.bottom + HEIGHT > innerHeight;
	const left = Math.max(12, Math.min(box ? wide ? innerWidth / 2 - 160 : tall ? box.x - 336 : box.x : innerWidth / 2 - 160, innerWidth - 332));
	const top = Math.max(60, Math.min(box ? wide ? innerHeight / 2 : tall ? box.y + 24 : low ? box.y - HEIGHT : box.bottom + 12 : innerHeight / 3, innerHeight - HEIGHT));
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "tour popover",
		role: "dialog",
		"aria-label": t("do.tour"),
		style: {
			left,
			top
		},
		children: [
			(0, import_jsx_runtime.jsx)("p", { children: (0, import_jsx_runtime.jsx)("small", { children: t("tour.step", {
				step: step + 1,
				of: STEPS.length
			}) }) }),
			(0, import_jsx_runtime.jsx)("p", { children: t(one.text) }),
			(0, import_jsx_runtime.jsxs)("p", {
				className: "buttons",
				children: [(0, import_jsx_runtime.jsx)("button", {
					ref: next,
					type: "button",
					className: "primary",
					onClick: () => go(step + 1),
					children: t(step + 1 < STEPS.length ? "tour.next" : "tour.done")
				}), (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					onClick: () => go(STEPS.length),
					children: t("tour.close")
				})]
			})
		]
	});
}
// src/form/FormView.tsx
function Item({ item, index, arranging }) {
	const def = useDefinition(item.node);
	const defs = useSchema((state) => state.definitions);
	const workflow = useDocument((state) => state.workflow);
	const port = def?.inputs.find((one) => one.name === item.input);
	if (!port?.field) return null;
	const label = item.label ?? `${titleOf(defs, workflow, workflow, item.node)} · ${item.input}`;
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "form-item",
		children: [(0, import_jsx_runtime.jsx)(Field, {
			node: item.node,
			port,
			label
		}), arranging && (0, import_jsx_runtime.jsxs)("p", {
			className: "buttons",
			children: [
				(0, import_jsx_runtime.jsx)("input", {
					"aria-label": t("form.label"),
					placeholder: t("form.label"),
					value: item.label ?? "",
					onChange: (event) => editWorkflow((one) => changeItem(one, index, { label: event.target.value }), `form ${index}`)
				}),
				(0, import_jsx_runtime.jsx)("input", {
					"aria-label": t("form.group"),
					placeholder: t("form.group"),
					value: item.group ?? "",
					onChange: (event) => editWorkflow((one) => changeItem(one, index, { group: event.target.value }), `form group ${index}`)
				}),
				(0, import_jsx_runtime.jsx)(IconButton, {
					icon: "up",
					label: t("form.up"),
					onClick: () => editWorkflow((one) => moveItem(one, index, -1))
				}),
				(0, import_jsx_runtime.jsx)(IconButton, {
					icon: "down",
					label: t("form.down"),
					onClick: () => editWorkflow((one) => moveItem(one, index, 1))
				})
			]
		})]
	});
}
function Outcome() {
	const previews = useRun((state) => state.previews);
	const results = useRun((state) => state.results);
	const job = useRun(shownJob);
	const pictures = Object.values(results).flat().filter((output) => output.media_type.startsWith("image/"));
	const preview = Object.values(previews).at(-1);
	const busy = job && isActive(job);
	return (0, import_jsx_runtime.jsxs)("section", {
		className: "outcome",
		"aria-label": t("panel.results"),
		children: [
			busy && (0, import_jsx_runtime.jsx)("span", {
				className: "bar",
				children: (0, import_jsx_runtime.jsx)("i", { style: { transform: `scaleX(${job.progress})` } })
			}),
			busy && preview && (0, import_jsx_runtime.jsx)("img", {
				className: "preview",
				src: preview,
				alt: t("card.preview")
			}),
			!(busy && preview) && pictures.map((output) => (0, import_jsx_runtime.jsx)("button", {
				type: "button",
				className: "result",
				"aria-label": t("card.openResult", { name: output.name }),
				onClick: () => show({
					kind: "viewer",
					asset: toAsset(output)
				}),
				children: (0, import_jsx_runtime.jsx)("img", {
					src: assetUrl(output.asset),
					alt: output.name
				})
			}, output.asset)),
			!busy && !pictures.length && (0, import_jsx_runtime.jsx)("p", {
				className: "nothing place",
				children: t("form.noResult")
			})
		]
	});
}
function FormView() {
	const workflow = useDocument((state) => state.workflow);
	const defs = useSchema((state) => state.definitions);
	const busy = useRun((state) => isActive(shownJob(state)));
	const sending = useRun((state) => state.sending > 0);
	const [arranging, setArranging] = (0, import_react.useState)(false);
	const items = formItems(defs, workflow);
	const groups = [...new Set(items.map((item) => item.group ?? ""))];
	const place = (item) => (workflow.form ?? []).indexOf(item);
	return (0, import_jsx_runtime.jsxs)("main", {
		className: "form-view",
		"aria-label": t("bar.form"),
		children: [(0, import_jsx_runtime.jsxs)("form", {
			onSubmit: (event) => {
				event.preventDefault();
				run();
			},
			children: [
				(0, import_jsx_runtime.jsx)("h1", { children: workflow.name || t("file.untitled") }),
				workflow.description && (0, import_jsx_runtime.jsx)("p", { children: workflow.description }),
				groups.map((group) => (0, import_jsx_runtime.jsxs)("fieldset", { children: [group && (0, import_jsx_runtime.jsx)("legend", { children: group }), items.filter((item) => (item.group ?? "") === group).map((item) => (0, import_jsx_runtime.jsx)(Item, {
					item,
					index: place(item),
					arranging: arranging && place(item) >= 0
				}, `${item.node}.${item.input}`))] }, group)),
				!items.length && (0, import_jsx_runtime.jsx)("p", {
					className: "nothing",
					children: t("form.empty")
				}),
				(0, import_jsx_runtime.jsxs)("p", {
					className: "buttons form-run",
					children: [
						(0, import_jsx_runtime.jsxs)("button", {
							type: "submit",
							className: "primary run",
							"aria-busy": sending,
							children: [(0, import_jsx_runtime.jsx)(Icon, { name: "play" }), t("bar.run")]
						}),
						busy && (0, import_jsx_runtime.jsxs)("button", {
							type: "button",
							onClick: cancelShown,
							children: [(0, import_jsx_runtime.jsx)(Icon, { name: "stop" }), t("do.cancel")]
						}),
						Boolean(workflow.form?.length) && (0, import_jsx_runtime.jsx)("button", {
							type: "button",
							"aria-pressed": arranging,
							onClick: () => setArranging(!arranging),
							children: t("form.arrange")
						})
					]
				})
			]
		}), (0, import_jsx_runtime.jsx)(Outcome, {})]
	});
}
// src/panels/more.tsx
var BODIES = {
	results: Gallery,
	queue: Queue,
	node: NodePanel,
	outline: Outline,
	problems: Problems,
	versions: Versions
};
function PanelBody({ panel }) {
	const Body = BODIES[panel];
	return (0, import_jsx_runtime.jsx)(Body, {});
}
function Overlays() {
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [
		(0, import_jsx_runtime.jsx)(NodeMenu, {}),
		(0, import_jsx_runtime.jsx)(Dialogs, {}),
		(0, import_jsx_runtime.jsx)(Tour, {})
	] });
}
export { FormView, Overlays, PanelBody };
