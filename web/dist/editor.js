const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["./dagre.js","./rolldown-runtime.js","./more.js","./vendor.js"])))=>i.map(i=>d[i]);
import { r as __toESM } from "./rolldown-runtime.js";
import { C as require_react, S as require_client, _ as SelectionMode, a as NodeResizer, b as useShallow, c as ViewportPortal, d as index, f as useNodesInitialized, g as Position, h as useStoreApi, i as Handle, l as applyEdgeChanges, m as useStore, n as BackgroundVariant, o as Panel, p as useReactFlow, r as BaseEdge, s as ReactFlowProvider, t as Background, u as applyNodeChanges, v as getBezierPath, x as create, y as require_jsx_runtime } from "./vendor.js";
// src/graph/json.ts
var import_client = require_client();
var raw = JSON.rawJSON;
function parseJson(text) {
	const revive = (key, value, context) => {
		if (key === "__proto__") return void 0;
		if (typeof value !== "number" || Number.isSafeInteger(value) || !context?.source) return value;
		return /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
	};
	return JSON.parse(text, revive);
}
function writeJson(value, indent) {
	const replace = (_key, item) => typeof item === "bigint" ? raw ? raw(item.toString()) : Number(item) : item;
	return JSON.stringify(value, replace, indent);
}
function isRecord(value) {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
function sameJson(a, b) {
	return a === b || writeJson(a) === writeJson(b);
}
function depth(value, limit = 100) {
	if (typeof value !== "object" || value === null || limit === 0) return 0;
	let deepest = 0;
	for (const item of Object.values(value)) deepest = Math.max(deepest, depth(item, limit - 1));
	return deepest + 1;
}
// src/graph/file.ts
var LIMITS = {
	bytes: 1e7,
	nodes: 1e4,
	depth: 64,
	parts: 4e5
};
var UnreadableFile = class extends Error {
	problem;
	constructor(problem) {
		super(problem);
		this.problem = problem;
	}
};
var finite = (value, fallback) => typeof value === "number" && Number.isFinite(value) && Math.abs(value) < 1e7 ? value : fallback;
var pair = (value) => {
	const list = Array.isArray(value) ? value : [];
	return [finite(list[0], 0), finite(list[1], 0)];
};
var text$1 = (value) => typeof value === "string" ? value : "";
var entries = (value) => isRecord(value) ? Object.entries(value).filter((entry) => isRecord(entry[1])) : [];
function cleanNode(node) {
	const { title, mode, frozen, ...rest } = node;
	return {
		...rest,
		type: text$1(node.type),
		inputs: isRecord(node.inputs) ? node.inputs : {},
		...typeof title === "string" ? { title } : {},
		...mode === "bypass" || mode === "mute" ? { mode } : {},
		...typeof frozen === "string" && /^[0-9a-f]{64}$/.test(frozen) ? { frozen } : {}
	};
}
function cleanBox(box) {
	const { size, color, collapsed, values, draw, bends, ...rest } = box;
	return {
		...rest,
		position: pair(box.position),
		...Array.isArray(size) ? { size: pair(size) } : {},
		...collapsed === true ? { collapsed } : {},
		...typeof color === "string" ? { color } : {},
		...isRecord(values) ? { values } : {},
		...Array.isArray(draw) ? { draw: draw.map(String) } : {},
		...isRecord(bends) ? { bends: Object.fromEntries(Object.entries(bends).map(([k, v]) => [k, Array.isArray(v) ? v.map(pair) : []])) } : {}
	};
}
function cleanGroup(group) {
	const { color, modes, note, ...rest } = group;
	const [x, y] = pair(group.bounds);
	const [w, h] = pair((Array.isArray(group.bounds) ? group.bounds : []).slice(2));
	return {
		...rest,
		title: text$1(group.title),
		bounds: [
			x,
			y,
			Math.max(w, 80),
			Math.max(h, 60)
		],
		...typeof color === "string" ? { color } : {},
		...typeof note === "string" ? { note } : {},
		...isRecord(modes) ? { modes } : {}
	};
}
function clean(json) {
	const nodes = Object.fromEntries(entries(json.nodes).map(([id, node]) => [id, cleanNode(node)]));
	const boxes = new Map(entries(json.layout));
	const layout = {};
	let row = 0;
	for (const id of Object.keys(nodes)) {
		const box = boxes.get(id);
		layout[id] = box ? cleanBox(box) : { position: [row % 5 * 320, Math.floor(row / 5) * 360] };
		if (!box) row += 1;
	}
	for (const [id, box] of boxes) if (id.startsWith("$")) layout[id] = cleanBox(box);
	return {
		nodes,
		layout,
		groups: (Array.isArray(json.groups) ? json.groups : []).filter(isRecord).map(cleanGroup)
	};
}
function cleanSubgraph(json) {
	const ports = (value) => (Array.isArray(value) ? value : []).filter(isRecord).map((port) => ({
		...port,
		name: text$1(port.name),
		type: text$1(port.type) || "*"
	}));
	return {
		...json,
		inputs: ports(json.inputs),
		outputs: ports(json.outputs),
		...clean(json)
	};
}
function cleanWorkflow(json) {
	const subgraphs = Object.fromEntries(entries(json.subgraphs).map(([name, subgraph]) => [name, cleanSubgraph(subgraph)]));
	const form = Array.isArray(json.form) ? json.form.filter(isRecord) : void 0;
	const { form: _form, ...rest } = json;
	const { nodes, layout, groups } = clean(json);
	return {
		...rest,
		graphflow: 1,
		name: text$1(json.name),
		description: text$1(json.description),
		nodes,
		layout,
		groups: groups ?? [],
		subgraphs,
		...form ? { form: form.map((item) => ({
			...item,
			node: text$1(item.node),
			input: text$1(item.input)
		})) } : {}
	};
}
function isOurs(json) {
	return isRecord(json) && "graphflow" in json && isRecord(json.nodes);
}
function parts(source) {
	let count = 0;
	for (let i = 0; i < source.length; i += 1) {
		const code = source.charCodeAt(i);
		if (code === 123 || code === 91 || code === 44) count += 1;
	}
	return count;
}
var size = (json) => Object.keys(json.nodes ?? {}).length + entries(json.subgraphs).reduce((sum, [, inner]) => sum + Object.keys(inner.nodes ?? {}).length, 0);
function readWorkflow(source) {
	if (source.length > LIMITS.bytes) throw new UnreadableFile("file.tooLarge");
	if (parts(source) > LIMITS.parts) throw new UnreadableFile("file.tooMany");
	let json;
	try {
		json = parseJson(source);
	} catch (error) {
		throw new UnreadableFile(error instanceof RangeError ? "file.tooDeep" : "file.notJson");
	}
	if (depth(json) > LIMITS.depth) throw new UnreadableFile("file.tooDeep");
	if (!isOurs(json)) throw new UnreadableFile("file.foreign");
	if (size(json) > LIMITS.nodes) throw new UnreadableFile("file.tooMany");
	return cleanWorkflow(json);
}
var writeWorkflow = (workflow) => `${writeJson(workflow, 2)}\n`;
// src/graph/snippets.ts
function asCurl(origin, workflow) {
	return `curl -s ${origin}/v1/jobs -H 'Content-Type: application/json' -d '${writeJson({ workflow }).replaceAll("'", "'\\''")}'`;
}
function asPython(origin, workflow) {
	return `import json, time, urllib.request

SERVER = ${JSON.stringify(origin)}
WORKFLOW = json.loads(${JSON.stringify(writeJson(workflow))})


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SERVER + path, data, {"Content-Type": "application/json"})
    return urllib.request.urlopen(request).read()


job = json.loads(call("/v1/jobs", {"workflow": WORKFLOW}))
while job["status"] in ("queued", "running"):
    time.sleep(0.5)
    job = json.loads(call("/v1/jobs/" + job["id"]))
print(job["status"], job.get("error") or "")
for output in job["outputs"]:
    with open(output["name"], "wb") as file:
        file.write(call("/v1/assets/" + output["asset"]))
    print(output["name"])
`;
}
// src/graph/workflow.ts
var cornerOf = (all) => [Math.min(...all.map(([x]) => x)), Math.min(...all.map(([, y]) => y))];
var EMPTY = {
	graphflow: 1,
	name: "",
	description: "",
	nodes: {},
	layout: {},
	groups: [],
	subgraphs: {}
};
function sourceOf(value) {
	if (!isRecord(value) || typeof value.from !== "string" || Object.keys(value).length !== 1) return null;
	const dot = value.from.lastIndexOf(".");
	return dot < 0 ? {
		node: value.from,
		output: "0"
	} : {
		node: value.from.slice(0, dot),
		output: value.from.slice(dot + 1)
	};
}
var linkTo = (node, output) => ({ from: `${node}.${output}` });
var known = new WeakMap();
function sources(node) {
	const found = known.get(node);
	if (found) return found;
	const links = Object.entries(node.inputs).flatMap(([input, value]) => {
		const source = sourceOf(value);
		return source ? [{
			...source,
			input
		}] : [];
	});
	known.set(node, links);
	return links;
}
function wires(graph) {
	return Object.entries(graph.nodes).flatMap(([target, node]) => sources(node).map((source) => ({
		...source,
		target
	})));
}
function ancestors(graph, ids, ends = () => false) {
	const seen = new Set();
	const pending = [...ids];
	for (let id = pending.pop(); id !== void 0; id = pending.pop()) {
		const node = graph.nodes[id];
		if (!node || seen.has(id)) continue;
		seen.add(id);
		if (!ends(node)) for (const source of sources(node)) pending.push(source.node);
	}
	return seen;
}
function descendants(graph, ids) {
	const next = new Map();
	for (const wire of wires(graph)) next.set(wire.node, [...next.get(wire.node) ?? [], wire.target]);
	const seen = new Set();
	const pending = [...ids];
	for (let id = pending.pop(); id !== void 0; id = pending.pop()) {
		if (seen.has(id)) continue;
		seen.add(id);
		pending.push(...next.get(id) ?? []);
	}
	return seen;
}
function inOrder(graph) {
	const done = new Set();
	const order = [];
	for (const root of Object.keys(graph.nodes)) {
		const stack = [[root, false]];
		for (let top = stack.pop(); top; top = stack.pop()) {
			const [id, ready] = top;
			if (ready) order.push(id);
			if (ready || done.has(id) || !graph.nodes[id]) continue;
			done.add(id);
			stack.push([id, true]);
			for (const { node } of sources(graph.nodes[id]).toReversed()) if (!done.has(node)) stack.push([node, false]);
		}
	}
	return order;
}
// src/words/en.json
var en_default = {
	"badge.cached": "cached",
	"badge.failed": "failed",
	"badge.frozen": "frozen",
	"badge.frozenHint": "Frozen: this was made at {time}",
	"badge.peak": "Memory at its peak: {memory}",
	"badge.skipped": "skipped",
	"badge.took": "Took {time}; its results take {memory}",
	"badge.unchanged": "Inputs unchanged since {time}",
	"badge.unchangedBefore": "Inputs unchanged since an earlier run",
	"badge.why": "Ran again: {names} changed",
	"bar.form": "Form",
	"bar.graph": "Graph",
	"bar.menu": "Menu",
	"bar.name": "Name of the workflow",
	"bar.run": "Run",
	"bar.view": "View",
	"batch.across": "Across",
	"batch.down": "Down",
	"batch.hint": "1, 2, 3 or 1..4 or 0..1 by 0.25; texts one a line",
	"batch.input": "Input that varies {axis}",
	"batch.many": "Queue {count} runs",
	"batch.nothing": "nothing",
	"batch.one": "Queue {count} run",
	"batch.values": "Values {axis}",
	"canvas.label": "Canvas",
	"canvas.minimap": "Overview of the graph",
	"card.advanced": "More settings",
	"card.collapse": "Collapse",
	"card.color": "Colour",
	"card.expand": "Expand",
	"card.frozen": "Frozen: it gives its kept result, whatever its inputs say",
	"card.menu": "Actions of this node",
	"card.name": "Name of the node",
	"card.openResult": "Open {name}",
	"card.preview": "Preview",
	"card.progress": "Progress of the node",
	"choice.missing": "{name} (missing)",
	"choice.none": "Nothing chosen",
	"commands.add": "Add {title}",
	"commands.hint": "Type an action or a node",
	"compare.chooseTwo": "Choose two pictures",
	"compare.hover": "Hover",
	"compare.how": "How to compare",
	"compare.settings": "Settings that differ",
	"compare.side": "Side by side",
	"compare.slider": "Slider",
	"compare.start": "Compare two",
	"compare.title": "Compare pictures",
	"conflict.compare": "Compare",
	"conflict.copyOf": "{name} (copy)",
	"conflict.keep": "Keep mine as a copy",
	"conflict.take": "Take theirs",
	"conflict.text": "Another window changed this workflow. Nothing was overwritten.",
	"conflict.title": "Changed elsewhere",
	"connect.from": "Connect {title}",
	"connect.input": "Choose where the link goes",
	"connect.newNode": "New node…",
	"connect.output": "Choose an output",
	"connect.to": "Connect {title} · {output}",
	"copy.curl": "Copied: a curl command that runs this workflow",
	"copy.python": "Copied: a Python program that runs this workflow",
	"copy.refused": "The browser did not allow copying",
	"dialog.cancel": "Cancel",
	"dialog.close": "Close",
	"do.actualSize": "Zoom to 100 %",
	"do.add": "Add a node",
	"do.arrange": "Arrange all or the selection",
	"do.batch": "Vary values in a grid",
	"do.bypass": "Bypass",
	"do.cancel": "Cancel this run",
	"do.collapse": "Collapse or expand",
	"do.commands": "Commands",
	"do.connect": "Connect…",
	"do.copy": "Copy",
	"do.curl": "Copy as curl",
	"do.cut": "Cut",
	"do.delete": "Delete",
	"do.download": "Download as JSON",
	"do.duplicate": "Duplicate",
	"do.escape": "Close or deselect",
	"do.find": "Find in the workflow",
	"do.fit": "Show everything",
	"do.form": "Form or graph",
	"do.frame": "Frame the selection",
	"do.freeze": "Freeze at its last result",
	"do.help": "Help on the node",
	"do.library": "Workflows and templates",
	"do.mute": "Mute",
	"do.new": "New workflow",
	"do.open": "Open a file…",
	"do.outline": "Outline",
	"do.paste": "Paste",
	"do.pasteLinked": "Paste with incoming links",
	"do.pause": "Pause or resume the queue",
	"do.problems": "Problems",
	"do.python": "Copy as Python",
	"do.queue": "Queue",
	"do.redo": "Redo",
	"do.rename": "Rename",
	"do.replace": "Replace…",
	"do.results": "Results",
	"do.run": "Run",
	"do.runFront": "Run before everything that waits",
	"do.runTo": "Run to here",
	"do.save": "Save",
	"do.saveAs": "Save as…",
	"do.selectAll": "Select all",
	"do.share": "Copy a share link",
	"do.shortcuts": "Keyboard shortcuts",
	"do.snap": "Snap to grid",
	"do.subgraph": "Make a subgraph",
	"do.tour": "Short tour",
	"do.undo": "Undo",
	"do.unpack": "Unpack the subgraph",
	"do.unshare": "Revoke the share link",
	"do.versions": "Versions",
	"do.zoomIn": "Zoom in",
	"do.zoomOut": "Zoom out",
	"field.clamped": "Set to {value}, the limit",
	"field.less": "{label}: less",
	"field.more": "{label}: more",
	"field.notJson": "Not valid JSON yet",
	"field.slider": "{label} slider",
	"file.drop": "Drop or paste a picture here",
	"file.foreign": "This is not a workflow that GraphFlow knows.",
	"file.noWorkflow": "{name} holds no workflow; a Load Image node was added for it instead.",
	"file.notJson": "This is no workflow: it is neither a picture nor valid JSON.",
	"file.opened": "Opened {name}",
	"file.openedWith": "Opened. {notes}",
	"file.saved": "Saved {name}",
	"file.tooDeep": "The file is nested too deeply to be a workflow.",
	"file.tooLarge": "The file is larger than 10 MB, too large for a workflow.",
	"file.tooMany": "The workflow has more than 10,000 nodes.",
	"file.untitled": "Untitled",
	"file.upload": "Upload a file",
	"file.uploadTo": "Upload a file for {label}",
	"file.uploading": "Uploading…",
	"find.hint": "Title, id, type or value",
	"form.arrange": "Arrange the form",
	"form.down": "Move down",
	"form.empty": "Pin inputs of nodes to show them here.",
	"form.group": "Group",
	"form.label": "Label",
	"form.mark": "Show {input} in the form",
	"form.noResult": "The result appears here.",
	"form.up": "Move up",
	"frame.bypass": "Bypass everything in the frame",
	"frame.color": "Next colour",
	"frame.label": "Frame {title}",
	"frame.new": "Frame",
	"frame.note": "Note",
	"frame.remove": "Remove the frame",
	"frame.title": "Title of the frame",
	"freeze.many": "{count} nodes are frozen at their last results.",
	"freeze.notSubgraph": "A subgraph cannot be frozen as a whole: look inside and freeze a node there.",
	"freeze.one": "Frozen: it keeps its last result.",
	"freeze.runFirst": "Run it once: what it gives then can be frozen.",
	"freeze.thawed": "Thawed: it is computed again.",
	"gallery.empty": "Pictures that you make appear here.",
	"group.edit": "Edit",
	"group.file": "Workflow",
	"group.node": "Nodes",
	"group.run": "Run",
	"group.view": "View",
	"help.example": "Open an example that uses it",
	"help.inputs": "Inputs",
	"help.outputs": "Outputs",
	"job.cancelled": "cancelled",
	"job.done": "done",
	"job.failed": "failed",
	"job.peak": "peak {memory}",
	"job.queued": "waiting",
	"job.running": "running",
	"library.drafts": "Drafts that were not saved",
	"library.mine": "Saved on this server",
	"library.noTemplate": "There is no template {name}; this is another one.",
	"library.none": "Nothing saved yet.",
	"library.remove": "Delete {name}",
	"library.search": "Search by name or tag",
	"library.templates": "Templates",
	"link.bend": "Point on the link; double-click removes it",
	"mask.brush": "Brush",
	"mask.canvas": "Mask; paint what shall be redrawn",
	"mask.erase": "Erase",
	"mask.invert": "Invert",
	"mask.paint": "Paint a mask",
	"mask.save": "Use this mask",
	"mask.size": "Size",
	"mask.unreadable": "The picture cannot be shown, so there is nothing to paint on.",
	"mode.bypass": "bypassed",
	"mode.mute": "muted",
	"node.none": "Select a node to see its settings and help.",
	"node.thaw": "Thaw: compute it again",
	"outline.search": "Search the workflow",
	"palette.gives": "Nodes that give {type}",
	"palette.label": "Add a node",
	"palette.search": "Search nodes",
	"palette.takes": "Nodes that take {type}",
	"panel.node": "Node",
	"panel.outline": "Outline",
	"panel.problems": "Problems",
	"panel.queue": "Queue",
	"panel.results": "Results",
	"panel.versions": "Versions",
	"picker.nothing": "Nothing fits",
	"problem.broken_link": "The link comes from {from}, which is gone or has no such output; link it again.",
	"problem.missing_file": "{name} is not on this server; choose another file.",
	"problem.nearest": "Nearest: {names}.",
	"problem.needs_link": "Needs a link from a {type} output.",
	"problem.needs_value": "Needs a value.",
	"problem.no_output": "Nothing to run: add a node that saves or shows a result.",
	"problem.none": "No problems",
	"problem.too_large": "Must be at most {max}.",
	"problem.too_small": "Must be at least {min}.",
	"problem.unknown_choice": "{name} is no choice here.",
	"problem.unknown_node": "This server has no node of type {type}; its values are kept.",
	"problem.use": "Use {name}",
	"problem.workflow": "Workflow",
	"problem.wrong_type": "A {from} output does not fit a {to} input.",
	"queue.active": "Running and waiting",
	"queue.cancel": "Cancel",
	"queue.clear": "Clear waiting",
	"queue.empty": "Nothing is running.",
	"queue.finished": "Finished",
	"queue.next": "Run next",
	"queue.open": "Open its workflow",
	"queue.pause": "Pause",
	"queue.paused": "The queue is paused",
	"queue.resume": "Resume",
	"queue.resumed": "The queue runs again",
	"refused.bothInputs": "Both ends are inputs; a link goes from an output to an input.",
	"refused.bothOutputs": "Both ends are outputs; a link goes from an output to an input.",
	"refused.cycle": "That would make a circle: this node already depends on the other.",
	"refused.gone": "One end of the link is gone.",
	"refused.nothingFits": "{title} has nothing that fits {type}.",
	"refused.self": "A node cannot be linked to itself.",
	"refused.type": "{input} takes {to}, not {from}.",
	"replace.keepsAll": "keeps all {kept}",
	"replace.loses": "keeps {kept}, loses {lost}",
	"replace.title": "Replace {title}",
	"run.count": "Number of runs",
	"run.done": "Run finished",
	"run.left": "{time} left",
	"run.problem": "{count} problem: nothing was sent.",
	"run.problems": "{count} problems: nothing was sent.",
	"run.problemsShort": "problems",
	"run.progress": "Progress of the run",
	"run.waiting": "waiting",
	"save.asNew": "Save as new",
	"save.folderHint": "A slash makes a folder: Portraits/Fox",
	"save.name": "Name",
	"save.save": "Save",
	"save.tags": "Tags",
	"save.tagsHint": "separated by commas",
	"save.title": "Save the workflow",
	"saved.conflict": "changed elsewhere",
	"saved.offline": "kept in this browser",
	"saved.saved": "draft saved",
	"saved.saving": "saving…",
	"saved.shared": "shared",
	"seed.isFixed": "Fixed: the same number for each run",
	"seed.isNew": "New for each run",
	"seed.new": "New {label} for each run",
	"server.away": "The server cannot be reached; nothing was lost here.",
	"server.failed": "The server answered {status}; nothing was lost here. Try again.",
	"share.copied": "Link copied: {address}",
	"share.locked": "A shared workflow cannot be changed here: take “Edit a copy” first.",
	"share.opened": "A shared workflow, as it was saved.",
	"share.own": "Edit a copy",
	"share.revoked": "The share link no longer works.",
	"share.saveFirst": "Save the workflow first; a link shows the version saved.",
	"shortcuts.mouse": "Drag with Shift to select, drag a link to empty canvas to add a node, double-click a link to bend it, drop a file to open it.",
	"side.close": "Close the panel",
	"side.label": "Panels",
	"side.tabs": "Panels",
	"socket.input": "Input {name}, {type}",
	"socket.output": "Output {name}, {type}",
	"status.connecting": "Connecting…",
	"status.dead": "A worker died and is being started again: {message}",
	"status.lost": "Connection lost; trying again…",
	"status.outdated": "GraphFlow was updated.",
	"status.paused": "Queue paused",
	"status.reload": "Reload",
	"status.starting": "Getting ready…",
	"subgraph.enter": "Look inside",
	"subgraph.new": "Subgraph",
	"subgraph.path": "Where you are",
	"text.keys": "Ctrl+Enter runs. Ctrl+Up and Ctrl+Down change the weight of the selected words.",
	"text.large": "Edit in a large field",
	"theme.dark": "Dark theme",
	"theme.light": "Light theme",
	"theme.system": "Theme of the system",
	"tint.amber": "Amber",
	"tint.blue": "Blue",
	"tint.green": "Green",
	"tint.none": "No colour",
	"tint.red": "Red",
	"tint.violet": "Violet",
	"tour.add": "Double-click empty canvas to add a node, or drag from a socket and let go: only what fits is offered.",
	"tour.close": "Close for good",
	"tour.done": "Done",
	"tour.next": "Next",
	"tour.nodes": "A workflow is made of nodes. This one turns a sentence into a picture, from left to right.",
	"tour.prompt": "Write here what you want to see.",
	"tour.results": "Results, the queue, help and an outline of the workflow are here.",
	"tour.run": "Run it: nodes show their progress, and the preview sharpens step by step.",
	"tour.step": "Step {step} of {of}",
	"versions.name": "Name of this version",
	"versions.number": "Version {number}",
	"versions.restore": "Restore",
	"versions.restored": "Version {number} is open again",
	"versions.same": "No difference in nodes, links or values.",
	"versions.since": "Changed since version {number}",
	"versions.unsaved": "Save the workflow to keep versions of it.",
	"view.actualSize": "{zoom} %, zoom to 100 %",
	"view.fit": "Show everything",
	"view.snap": "Snap to grid",
	"view.zoomIn": "Zoom in",
	"view.zoomOut": "Zoom out",
	"viewer.branch": "Open only its branch",
	"viewer.download": "Download",
	"viewer.noWorkflow": "No workflow is kept in this file.",
	"viewer.open": "Open its workflow",
	"welcome.add": "Add a node",
	"welcome.template": "Start from a template",
	"welcome.text": "Double-click the canvas to add a node, or drop a picture or a workflow file here.",
	"welcome.title": "An empty workflow"
};
// \0vite/preload-helper.js
var scriptRel = (function detectScriptRel() {
	const relList = typeof document !== "undefined" && document.createElement("link").relList;
	return relList && relList.supports && relList.supports("modulepreload") ? "modulepreload" : "preload";
})();
var assetsURL = function(dep, importerUrl) {
	return new URL(dep, importerUrl).href;
};
var seen = {};
var isCssPreloadUrl = function isCssPreloadUrl(url) {
	return url.pathname.endsWith(".css");
};
var preloadOnce = function preloadOnce(seen, href, preload) {
	if (href in seen) return seen[href];
	const promise = preload();
	if (!promise) {
		seen[href] = void 0;
		return;
	}
	const preloadPromise = promise.then(() => {
		seen[href] = void 0;
	}, (err) => {
		seen[href] = void 0;
		throw err;
	});
	seen[href] = preloadPromise;
	return preloadPromise;
};
var __vitePreload = function preload(baseModule, deps, importerUrl) {
	let promise = Promise.resolve();
	if (deps && deps.length > 0) {
		let preloadedHrefs;
		const cspNonceMeta = document.querySelector("meta[property=csp-nonce]");
		const cspNonce = cspNonceMeta?.nonce || cspNonceMeta?.getAttribute("nonce");
		function allSettled(promises) {
			return Promise.all(promises.map((p) => Promise.resolve(p).then((value) => ({
				status: "fulfilled",
				value
			}), (reason) => ({
				status: "rejected",
				reason
			}))));
		}
		function importMetaResolve(specifier) {
			if (import.meta.resolve) return new URL(import.meta.resolve(specifier));
			return new URL(specifier, import.meta.url);
		}
		promise = allSettled(deps.map((depString) => {
			depString = assetsURL(depString, importerUrl);
			const dep = importMetaResolve(depString);
			const isCss = isCssPreloadUrl(dep);
			return preloadOnce(seen, dep.href, () => {
				if (preloadedHrefs === void 0) {
					preloadedHrefs = {
						all: new Set(),
						styles: new Set()
					};
					const links = document.getElementsByTagName("link");
					for (let i = links.length - 1; i >= 0; i--) {
						const link = links[i];
						preloadedHrefs.all.add(link.href);
						if (link.rel === "stylesheet") preloadedHrefs.styles.add(link.href);
					}
				}
				if ((isCss ? preloadedHrefs.styles : preloadedHrefs.all).has(dep.href)) return;
				const link = document.createElement("link");
				link.rel = isCss ? "stylesheet" : scriptRel;
				if (!isCss) link.as = "script";
				link.crossOrigin = "";
				link.href = dep.href;
				if (cspNonce) link.setAttribute("nonce", cspNonce);
				document.head.appendChild(link);
				if (isCss) return new Promise((res, rej) => {
					const handleSettle = (e) => {
						link.removeEventListener("load", handleSettle);
						link.removeEventListener("error", handleSettle);
						if (e.type === "error") rej(new Error(`Unable to preload CSS for ${dep}`));
						else res(e);
					};
					link.addEventListener("load", handleSettle);
					link.addEventListener("error", handleSettle);
				});
			});
		}).filter((p) => p !== void 0));
	}
	function handlePreloadError(err) {
		const e = new Event("vite:preloadError", { cancelable: true });
		e.payload = err;
		window.dispatchEvent(e);
		if (!e.defaultPrevented) throw err;
	}
	return promise.then((res) => {
		for (const item of res || []) {
			if (item.status !== "rejected") continue;
			handlePreloadError(item.reason);
		}
		return baseModule().catch(handlePreloadError);
	});
};
// src/words/index.ts
var LANGUAGES = {
	en: "English",
	de: "Deutsch"
};
var SETTING$1 = "graphflow.language";
var loaders = { de: () => __vitePreload(() => import("./de.js"), [], import.meta.url) };
var language = () => {
	const wish = localStorage.getItem(SETTING$1) ?? navigator.language.slice(0, 2);
	return wish in LANGUAGES ? wish : "en";
};
var words = en_default;
async function loadWords() {
	const load = loaders[language()];
	if (load) words = (await load()).default;
	document.documentElement.lang = language();
}
function chooseLanguage(name) {
	localStorage.setItem(SETTING$1, name);
	location.reload();
}
function t(key, values = {}) {
	return (words[key] ?? en_default[key]).replace(/\{(\w+)\}/g, (whole, name) => name in values ? String(values[name]) : whole);
}
var maybe = (key, values) => key in en_default ? t(key, values) : null;
var count = (number, one, many) => t(number === 1 ? one : many, { count: number });
var seconds = (value) => value < 10 ? `${value.toFixed(value < 1 ? 2 : 1)} s` : value < 90 ? `${Math.round(value)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
var clock = (time) => new Date(time * 1e3).toLocaleTimeString(language(), {
	hour: "2-digit",
	minute: "2-digit"
});
var when = (time) => `${new Date(time * 1e3).toLocaleDateString()} ${clock(time)}`;
var bytes = (value) => value < 1e3 ? `${value} B` : value < 1e6 ? `${(value / 1e3).toFixed(0)} kB` : value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(1)} GB`;
// src/server/api.ts
var ServerError = class extends Error {
	status;
	code;
	problems;
	constructor(message, status, code, problems = []) {
		super(message);
		this.status = status;
		this.code = code;
		this.problems = problems;
	}
};
var url = (path) => new URL(path.replace(/^\//, ""), document.baseURI).href;
function toProblem(json) {
	const one = isRecord(json) ? json : {};
	const text = (value) => typeof value === "string" ? value : null;
	return {
		node: text(one.node),
		input: text(one.input),
		message: text(one.message) ?? "",
		code: text(one.code) ?? "invalid",
		details: isRecord(one.details) ? one.details : {}
	};
}
function toError(status, body) {
	try {
		const json = parseJson(body);
		const error = isRecord(json) && isRecord(json.error) ? json.error : null;
		if (error) {
			const list = Array.isArray(error.problems) ? error.problems : [];
			return new ServerError(String(error.message), status, String(error.code), list.map(toProblem));
		}
	} catch {}
	return new ServerError(t("server.failed", { status }), status, "http");
}
async function send(path, options = {}) {
	const { json, body: file = null, headers = {} } = options;
	const body = json === void 0 ? file : writeJson(json);
	const { method = body === null ? "GET" : "POST" } = options;
	const type = body === null ? {} : { "Content-Type": file ? file.type || "application/octet-stream" : "application/json" };
	let response;
	try {
		response = await fetch(url(path), {
			method,
			body,
			headers: {
				...type,
				...headers
			}
		});
	} catch {
		throw new ServerError(t("server.away"), 0, "offline");
	}
	if (!response.ok) throw toError(response.status, await response.text());
	return response;
}
async function call(path, options = {}) {
	const text = await (await send(path, options)).text();
	return text ? parseJson(text) : null;
}
var assetUrl = (id) => url(`v1/assets/${id}`);
var thumbnailUrl = (id, size = 256) => url(`v1/assets/${id}/thumbnail?size=${size}`);
var newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
// src/graph/schema.ts
function definitions(list) {
	const byType = new Map();
	for (const def of list) for (const alias of def.aliases) byType.set(alias, def);
	for (const def of list) byType.set(def.type, def);
	return byType;
}
var WIDER = {
	INT: ["FLOAT", "NUMBER"],
	FLOAT: ["NUMBER"],
	BOOLEAN: [
		"INT",
		"FLOAT",
		"NUMBER"
	],
	STRING: ["COMBO"],
	COMBO: ["STRING"]
};
function fits(source, target) {
	if (source === "*" || target === "*") return true;
	const targets = new Set(target.split("|"));
	return source.split("|").some((one) => targets.has(one) || (WIDER[one] ?? []).some((wide) => targets.has(wide)));
}
var BARE = {
	category: "",
	description: "",
	output_node: false,
	device: false,
	volatile: false,
	deprecated: false,
	experimental: false,
	aliases: [],
	pack: "",
	digest: "",
	example: "",
	more: null,
	checks: false
};
var port = (name, type, more = {}) => ({
	name,
	type,
	required: false,
	default: null,
	field: null,
	lazy: false,
	list: false,
	grows: "",
	advanced: false,
	description: "",
	judged: [],
	...more
});
var output = (name, type) => ({
	name,
	type,
	list: false,
	description: ""
});
var INPUTS = "$inputs";
var OUTPUTS = "$outputs";
var PREFIX = "subgraph/";
var subgraphName = (type) => type.startsWith(PREFIX) ? type.slice(9) : null;
var subgraphType = (name) => PREFIX + name;
function innerPort(defs, workflow, subgraph, name, nesting) {
	const wire = wires(subgraph).find((one) => one.node === "$inputs" && one.output === name);
	const node = wire && subgraph.nodes[wire.target];
	return node && definitionOf(defs, workflow, wire.target, node, subgraph, nesting + 1).inputs.find((p) => p.name === wire.input);
}
function subgraphDef(defs, workflow, name, subgraph, nesting) {
	return {
		...BARE,
		type: subgraphType(name),
		title: name,
		category: "subgraph",
		inputs: subgraph.inputs.map((item) => {
			const inner = nesting < 8 ? innerPort(defs, workflow, subgraph, item.name, nesting) : void 0;
			return port(item.name, item.type, inner && {
				field: inner.field,
				default: item.default ?? inner.default,
				required: inner.required,
				description: inner.description
			});
		}),
		outputs: subgraph.outputs.map((item) => output(item.name, item.type))
	};
}
function borderDef(type, graph) {
	return type === "$inputs" ? {
		...BARE,
		type,
		title: "Inputs",
		outputs: graph.inputs.map((item) => output(item.name, item.type)),
		inputs: []
	} : {
		...BARE,
		type,
		title: "Outputs",
		inputs: graph.outputs.map((item) => port(item.name, item.type)),
		outputs: []
	};
}
function guess(id, node, graph) {
	const names = new Set(wires(graph).filter((wire) => wire.node === id).map((wire) => wire.output));
	return {
		...BARE,
		type: node.type,
		title: node.type,
		unknown: true,
		inputs: Object.entries(node.inputs).map(([name, value]) => port(name, "*", sourceOf(value) ? {} : {
			field: {},
			default: value
		})),
		outputs: [...names].map((name) => output(name, "*"))
	};
}
function definitionOf(defs, workflow, id, node, graph = workflow, nesting = 0) {
	const described = defs.get(node.type);
	if (described) return described;
	if (node.type === "$inputs" || node.type === "$outputs") return borderDef(node.type, graph);
	const name = subgraphName(node.type);
	const subgraph = name === null ? void 0 : workflow.subgraphs[name];
	if (name !== null && subgraph) return subgraphDef(defs, workflow, name, subgraph, nesting);
	return guess(id, node, graph);
}
function outputOf(def, name) {
	return def.outputs.find((one) => one.name === name) ?? (/^\d+$/.test(name) ? def.outputs[Number(name)] : void 0);
}
function shownPorts(def, node) {
	const offered = new Set();
	return def.inputs.filter((port) => {
		if (!port.grows || node.inputs[port.name] !== void 0) return true;
		const first = !offered.has(port.grows);
		offered.add(port.grows);
		return first;
	});
}
var numeric = (value) => typeof value === "number" ? value : typeof value === "bigint" ? Number(value) : void 0;
function numberWidget(field, whole) {
	const min = numeric(field.minimum) ?? numeric(field.exclusiveMinimum);
	const max = numeric(field.maximum) ?? numeric(field.exclusiveMaximum);
	const bounds = {
		whole,
		step: numeric(field.step) ?? numeric(field.multipleOf) ?? (whole ? 1 : .01),
		...min === void 0 ? {} : { min },
		...max === void 0 ? {} : { max }
	};
	if (field.widget === "seed") return {
		kind: "seed",
		...bounds
	};
	const short = min !== void 0 && max !== void 0 && max - min <= 100 && !(whole && max - min > 64);
	return {
		kind: field.widget === "slider" || short ? "slider" : "number",
		...bounds
	};
}
function widgetOf(field) {
	const some = (Array.isArray(field.anyOf) ? field.anyOf.filter(isRecord) : []).find((one) => one.type !== "null");
	if (some) return widgetOf({
		...field,
		anyOf: null,
		...some
	});
	if (typeof field.folder === "string") {
		const extra = Array.isArray(field.extra) ? field.extra.map(String) : [];
		if (field.folder !== "input") return {
			kind: "choice",
			folder: field.folder,
			extra
		};
		const media = typeof field.media === "string" ? field.media : "";
		return {
			kind: media === "image" || media === "" ? "image" : "file",
			folder: "input",
			media,
			extra
		};
	}
	if (Array.isArray(field.enum)) return {
		kind: "choice",
		choices: field.enum
	};
	if (field.widget === "color") return {
		kind: "color",
		whole: field.type === "integer"
	};
	if (field.type === "boolean") return { kind: "toggle" };
	if (field.type === "integer" || field.type === "number") return numberWidget(field, field.type === "integer");
	if (field.type !== "string") return { kind: "json" };
	return { kind: field.widget === "multiline" ? "multiline" : "text" };
}
// src/graph/edit.ts
var without = (record, ...keys) => Object.fromEntries(Object.entries(record).filter(([key]) => !keys.includes(key)));
function put$1(record, key, value) {
	return value === void 0 ? without(record, key) : {
		...record,
		[key]: value
	};
}
var boxOf = (graph, id) => graph.layout[id] ?? { position: [0, 0] };
function changeNode(graph, id, change) {
	const node = graph.nodes[id];
	return node ? {
		...graph,
		nodes: {
			...graph.nodes,
			[id]: change(node)
		}
	} : graph;
}
function changeBox(graph, id, key, value) {
	return {
		...graph,
		layout: {
			...graph.layout,
			[id]: put$1(boxOf(graph, id), key, value)
		}
	};
}
function unique(name, taken) {
	let one = name;
	for (let count = 2; taken(one); count += 1) one = `${name}${count}`;
	return one;
}
function freshId(taken, type) {
	return unique(type.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "").replace(/\d+$/, "") || "node", (one) => one in taken);
}
function addNode(graph, def, position) {
	const id = freshId(graph.nodes, def.title.length < 24 ? def.type : def.type.slice(0, 24));
	const inputs = {};
	for (const port of def.inputs) if (port.field && port.default !== null) inputs[port.name] = port.default;
	const draw = def.inputs.filter((port) => port.field && widgetOf(port.field).kind === "seed").map((port) => port.name);
	const box = {
		position,
		...draw.length ? { draw } : {}
	};
	return {
		graph: {
			...graph,
			nodes: {
				...graph.nodes,
				[id]: {
					type: def.type,
					inputs
				}
			},
			layout: {
				...graph.layout,
				[id]: box
			}
		},
		id
	};
}
function setValue(graph, id, input, value) {
	return changeNode(graph, id, (node) => ({
		...node,
		inputs: put$1(node.inputs, input, value)
	}));
}
var setTitle = (graph, id, title) => changeNode(graph, id, (node) => put$1(node, "title", title.trim() || void 0));
function setMode$1(graph, ids, mode) {
	let next = graph;
	for (const id of ids) next = changeNode(next, id, (node) => put$1(node, "mode", mode));
	return next;
}
function toggleMode(graph, ids, mode) {
	return setMode$1(graph, ids, ids.every((id) => graph.nodes[id]?.mode === mode) ? void 0 : mode);
}
var setFrozen = (graph, keys) => [...keys].reduce((next, [id, key]) => changeNode(next, id, (node) => put$1(node, "frozen", key)), graph);
function toggleCollapsed(graph, ids) {
	const collapsed = ids.every((id) => boxOf(graph, id).collapsed) ? void 0 : true;
	return ids.reduce((next, id) => changeBox(next, id, "collapsed", collapsed), graph);
}
function setColor(graph, ids, color) {
	return ids.reduce((next, id) => changeBox(next, id, "color", color), graph);
}
function move(graph, positions) {
	const layout = { ...graph.layout };
	for (const [id, [x, y]] of positions) layout[id] = {
		...boxOf(graph, id),
		position: [Math.round(x), Math.round(y)]
	};
	return {
		...graph,
		layout
	};
}
function connect(graph, node, output, target, input) {
	const before = graph.nodes[target]?.inputs[input];
	const linked = setValue(graph, target, input, linkTo(node, output));
	if (before === void 0 || sourceOf(before)) return linked;
	return changeBox(linked, target, "values", {
		...boxOf(graph, target).values,
		[input]: before
	});
}
function disconnect(graph, target, input) {
	if (!sourceOf(graph.nodes[target]?.inputs[input])) return graph;
	const box = boxOf(graph, target);
	const next = setValue(graph, target, input, box.values?.[input]);
	const values = without(box.values ?? {}, input);
	const bends = without(box.bends ?? {}, input);
	const cleaned = box.values ? changeBox(next, target, "values", Object.keys(values).length ? values : void 0) : next;
	return box.bends ? changeBox(cleaned, target, "bends", Object.keys(bends).length ? bends : void 0) : cleaned;
}
function remove(graph, ids) {
	const gone = new Set(ids);
	let next = {
		...graph,
		nodes: without(graph.nodes, ...gone),
		layout: without(graph.layout, ...gone)
	};
	for (const [id, node] of Object.entries(next.nodes)) for (const [input, value] of Object.entries(node.inputs)) {
		const source = sourceOf(value);
		if (source && gone.has(source.node)) next = disconnect(next, id, input);
	}
	return next;
}
var isDrawn = (graph, id, input) => Boolean(graph.layout[id]?.draw?.includes(input));
function setDrawn(graph, id, input, drawn) {
	const rest = (boxOf(graph, id).draw ?? []).filter((name) => name !== input);
	const draw = drawn ? [...rest, input] : rest;
	return changeBox(graph, id, "draw", draw.length ? draw : void 0);
}
function drawSeeds(workflow, random) {
	const subgraphs = Object.entries(workflow.subgraphs).map(([name, inner]) => [name, drawn(inner, random)]);
	const next = drawn(workflow, random);
	return subgraphs.some(([name, inner]) => inner !== workflow.subgraphs[name]) ? {
		...next,
		subgraphs: Object.fromEntries(subgraphs)
	} : next;
}
function drawn(graph, random) {
	let next = graph;
	for (const [id, box] of Object.entries(graph.layout)) for (const input of box.draw ?? []) if (graph.nodes[id] && !sourceOf(graph.nodes[id].inputs[input])) next = setValue(next, id, input, random());
	return next;
}
function setBends(graph, target, input, points) {
	const bends = {
		...without(boxOf(graph, target).bends ?? {}, input),
		...points.length ? { [input]: points } : {}
	};
	return changeBox(graph, target, "bends", Object.keys(bends).length ? bends : void 0);
}
// src/graph/subgraph.ts
function opened(subgraph) {
	const outputs = Object.fromEntries(subgraph.outputs.flatMap((port) => port.from ? [[port.name, { from: port.from }]] : []));
	const boxes = Object.values(subgraph.layout).map((box) => box.position);
	const [left, right] = [Math.min(0, ...boxes.map(([x]) => x)), Math.max(0, ...boxes.map(([x]) => x))];
	return {
		...subgraph,
		nodes: {
			...subgraph.nodes,
			[INPUTS]: {
				type: INPUTS,
				inputs: {}
			},
			[OUTPUTS]: {
				type: OUTPUTS,
				inputs: outputs
			}
		},
		layout: {
			[INPUTS]: { position: [left - 300, 0] },
			[OUTPUTS]: { position: [right + 340, 0] },
			...subgraph.layout
		}
	};
}
function closed(subgraph) {
	const links = subgraph.nodes["$outputs"]?.inputs ?? {};
	const outputs = subgraph.outputs.map((port) => {
		const { from: _from, ...rest } = port;
		const value = links[port.name];
		return value?.from ? {
			...rest,
			from: value.from
		} : rest;
	});
	return {
		...subgraph,
		outputs,
		nodes: without(subgraph.nodes, INPUTS, OUTPUTS)
	};
}
function namesAlong(workflow, path) {
	const names = [];
	let graph = workflow;
	for (const id of path) {
		const name = subgraphName(graph?.nodes[id]?.type ?? "");
		graph = name === null ? void 0 : workflow.subgraphs[name];
		if (name === null || !graph) break;
		names.push(name);
	}
	return names;
}
function graphAt(workflow, path) {
	const name = namesAlong(workflow, path).at(-1);
	const subgraph = name === void 0 ? void 0 : workflow.subgraphs[name];
	return subgraph ? opened(subgraph) : workflow;
}
function changeAt(workflow, path, change) {
	const name = namesAlong(workflow, path).at(-1);
	const subgraph = name === void 0 ? void 0 : workflow.subgraphs[name];
	if (name === void 0 || !subgraph) return change(workflow);
	const next = change(opened(subgraph));
	return {
		...workflow,
		subgraphs: {
			...workflow.subgraphs,
			[name]: closed(next)
		}
	};
}
function promote(graph, loose) {
	const open = graph;
	const key = loose.side === "target" ? "inputs" : "outputs";
	const name = unique(loose.port, (one) => open[key].some((port) => port.name === one));
	const value = key === "inputs" ? open.nodes[loose.node]?.inputs[loose.port] : void 0;
	const port = {
		name,
		type: loose.type,
		...value === void 0 || sourceOf(value) ? {} : { default: value }
	};
	const grown = {
		...open,
		[key]: [...open[key], port]
	};
	return key === "inputs" ? connect(grown, INPUTS, name, loose.node, loose.port) : connect(grown, loose.node, loose.port, OUTPUTS, name);
}
function makeSubgraph(defs, workflow, path, ids, wish) {
	const graph = graphAt(workflow, path);
	const chosen = new Set(ids);
	const name = unique(wish, (one) => one in workflow.subgraphs);
	const inputs = [];
	const outputs = [];
	const outer = {};
	let inner = {
		nodes: pick(graph.nodes, ids),
		layout: pick(graph.layout, ids),
		groups: []
	};
	let rest = graph;
	const typeOf = (node, output) => {
		const source = graph.nodes[node];
		return (source && outputOf(definitionOf(defs, workflow, node, source, graph), output)?.type) ?? "*";
	};
	const known = new Map();
	const id = unique("subgraph", (one) => one in graph.nodes);
	for (const wire of wires(graph)) {
		const [from, to] = [chosen.has(wire.node), chosen.has(wire.target)];
		const key = `${from ? "out" : "in"} ${wire.node}.${wire.output}`;
		if (from === to) continue;
		const ports = from ? outputs : inputs;
		const port = known.get(key) ?? unique(from ? wire.output : wire.input, (one) => ports.some((other) => other.name === one));
		if (!known.has(key)) {
			ports.push({
				name: port,
				type: typeOf(wire.node, wire.output),
				...from ? { from: `${wire.node}.${wire.output}` } : {}
			});
			known.set(key, port);
			if (!from) outer[port] = linkTo(wire.node, wire.output);
		}
		if (from) rest = setValue(rest, wire.target, wire.input, linkTo(id, port));
		else inner = setValue(inner, wire.target, wire.input, linkTo(INPUTS, port));
	}
	const { position } = boxOf(graph, ids[0] ?? "");
	const changed = changeAt(workflow, path, () => ({
		...rest,
		nodes: {
			...without(rest.nodes, ...ids),
			[id]: {
				type: subgraphType(name),
				title: name,
				inputs: outer
			}
		},
		layout: {
			...without(rest.layout, ...ids),
			[id]: { position }
		}
	}));
	return {
		id,
		workflow: {
			...changed,
			subgraphs: {
				...changed.subgraphs,
				[name]: {
					inputs,
					outputs,
					...inner
				}
			}
		}
	};
}
var pick = (record, ids) => Object.fromEntries(ids.flatMap((id) => record[id] === void 0 ? [] : [[id, record[id]]]));
function unpack(workflow, path, id) {
	const type = graphAt(workflow, path).nodes[id]?.type ?? "";
	const name = subgraphName(type) ?? "";
	const subgraph = workflow.subgraphs[name];
	if (!subgraph) return workflow;
	const next = changeAt(workflow, path, (graph) => unpacked(graph, id, subgraph));
	return [next, ...Object.values(next.subgraphs)].some((graph) => Object.values(graph.nodes).some((one) => one.type === type)) ? next : {
		...next,
		subgraphs: without(next.subgraphs, name)
	};
}
function unpacked(graph, id, subgraph) {
	const renamed = new Map(Object.keys(subgraph.nodes).map((inner) => [inner, unique(inner, (one) => one in graph.nodes)]));
	const resolve = (value) => {
		const source = sourceOf(value);
		if (!source) return value;
		if (source.node !== "$inputs") return linkTo(renamed.get(source.node) ?? source.node, source.output);
		return graph.nodes[id]?.inputs[source.output] ?? subgraph.inputs.find((port) => port.name === source.output)?.default;
	};
	const [x, y] = boxOf(graph, id).position;
	const [left, top] = cornerOf(Object.values(subgraph.layout).map((box) => box.position));
	const nodes = { ...graph.nodes };
	const layout = { ...graph.layout };
	for (const [inner, fresh] of renamed) {
		const one = subgraph.nodes[inner];
		const inputs = Object.entries(one.inputs).map(([key, value]) => [key, resolve(value)]).filter(([, value]) => value !== void 0);
		nodes[fresh] = {
			...one,
			inputs: Object.fromEntries(inputs)
		};
		const box = boxOf(subgraph, inner);
		layout[fresh] = {
			...box,
			position: [x + box.position[0] - left, y + box.position[1] - top]
		};
	}
	let next = {
		...graph,
		nodes,
		layout
	};
	for (const wire of wires(graph).filter((one) => one.node === id)) {
		const port = subgraph.outputs.find((one) => one.name === wire.output) ?? subgraph.outputs[Number(wire.output)];
		const value = port?.from === void 0 ? void 0 : resolve({ from: port.from });
		if (value !== void 0) next = setValue(next, wire.target, wire.input, value);
	}
	return remove(next, [id]);
}
// src/state/document.ts
var MERGE_MS = 1e3;
var useDocument = create(() => ({
	workflow: EMPTY,
	graph: EMPTY,
	path: [],
	past: [],
	future: [],
	opened: 0,
	lastKey: "",
	lastTime: 0,
	locked: false,
	refused: 0
}));
var at = (step) => ({
	...step,
	graph: graphAt(step.workflow, step.path)
});
function editWorkflow(change, key = "") {
	useDocument.setState((state) => {
		const workflow = change(state.workflow);
		if (workflow === state.workflow) return state;
		if (state.locked) return { refused: state.refused + 1 };
		const now = performance.now();
		const past = key !== "" && key === state.lastKey && now - state.lastTime < MERGE_MS ? state.past : [...state.past, {
			workflow: state.workflow,
			path: state.path
		}].slice(-200);
		return {
			...at({
				workflow,
				path: state.path
			}),
			past,
			future: [],
			lastKey: key,
			lastTime: now
		};
	});
}
function edit(change, key = "") {
	editWorkflow((workflow) => changeAt(workflow, useDocument.getState().path, change), key);
}
function amend(change) {
	useDocument.setState((state) => at({
		workflow: change(state.workflow),
		path: state.path
	}));
}
function undo() {
	useDocument.setState((state) => {
		const step = state.past.at(-1);
		if (!step) return state;
		const future = [{
			workflow: state.workflow,
			path: state.path
		}, ...state.future];
		return {
			...at(step),
			past: state.past.slice(0, -1),
			future,
			lastKey: ""
		};
	});
}
function redo() {
	useDocument.setState((state) => {
		const [step, ...future] = state.future;
		return step ? {
			...at(step),
			past: [...state.past, {
				workflow: state.workflow,
				path: state.path
			}],
			future,
			lastKey: ""
		} : state;
	});
}
function open(workflow, locked = false) {
	useDocument.setState((state) => ({
		...at({
			workflow,
			path: []
		}),
		past: [],
		future: [],
		lastKey: "",
		opened: state.opened + 1,
		locked
	}));
}
var unlock = () => useDocument.setState({ locked: false });
function enter(path) {
	useDocument.setState((state) => ({
		...at({
			workflow: state.workflow,
			path
		}),
		opened: state.opened + 1
	}));
}
var current = () => useDocument.getState();
// src/state/run.ts
var useRun = create(() => ({
	connection: "connecting",
	build: "",
	outdated: false,
	paused: false,
	workers: {},
	jobs: {},
	queue: [],
	shown: null,
	ours: new Set(),
	previews: {},
	results: {},
	sent: null,
	before: null,
	sending: 0,
	assets: 0
}));
var isActive = (job) => job?.status === "running" || job?.status === "queued";
var shownJob = ({ shown, jobs }) => shown === null ? void 0 : jobs[shown];
function activeJobs(state) {
	const place = (job) => job.status === "running" ? -1 : state.queue.indexOf(job.id) + 1 || Infinity;
	return Object.values(state.jobs).filter(isActive).sort((a, b) => place(a) - place(b) || a.created - b.created);
}
var TIMINGS = "graphflow.seconds";
var timings = () => JSON.parse(localStorage.getItem(TIMINGS) ?? "{}");
function noteTiming(type, seconds) {
	const all = timings();
	localStorage.setItem(TIMINGS, JSON.stringify({
		...all,
		[type]: type in all ? .5 * ((all[type] ?? 0) + seconds) : seconds
	}));
}
function remaining(job, now, types = []) {
	if (!job || job.status !== "running" || job.started === null) return null;
	const past = timings();
	const elapsed = now - job.started;
	const total = types.reduce((sum, type) => sum + (past[type] ?? 0), 0);
	if (total > elapsed && types.every((type) => type in past)) return total - elapsed;
	return job.progress < .05 ? null : Math.max(elapsed * (1 - job.progress) / job.progress, 0);
}
function setJob(id, change) {
	useRun.setState((state) => {
		const job = state.jobs[id];
		return job ? { jobs: {
			...state.jobs,
			[id]: change(job)
		} } : state;
	});
}
function showJob(id) {
	useRun.setState((state) => {
		if (state.shown === id) return state;
		for (const address of Object.values(state.previews)) URL.revokeObjectURL(address);
		return {
			shown: id,
			previews: {}
		};
	});
}
function forgetRun() {
	showJob(null);
	useRun.setState({
		ours: new Set(),
		results: {},
		sent: null,
		before: null
	});
}
// src/server/live.ts
function readPreview(buffer) {
	if (buffer.byteLength < 8) return null;
	const view = new DataView(buffer);
	const length = view.getUint32(4);
	if (view.getUint32(0) !== 1 || 8 + length > buffer.byteLength) return null;
	const header = parseJson(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
	return {
		job: header.job,
		node: header.node,
		blob: new Blob([new Uint8Array(buffer, 8 + length)], { type: header.media_type })
	};
}
function connectLive(listener) {
	let wait = 500;
	const open = () => {
		const socket = new WebSocket(url("v1/live").replace(/^http/, "ws"));
		socket.binaryType = "arraybuffer";
		socket.onmessage = ({ data }) => {
			wait = 500;
			if (typeof data === "string") return listener.message(parseJson(data));
			const preview = readPreview(data);
			if (preview) listener.preview(preview);
		};
		socket.onclose = () => {
			listener.lost();
			setTimeout(open, wait);
			wait = Math.min(wait * 2, 1e4);
		};
	};
	open();
}
// src/graph/difference.ts
function difference(before, after) {
	const changed = {};
	for (const [id, node] of Object.entries(after.nodes)) {
		const old = before.nodes[id];
		if (!old) continue;
		const changes = [...new Set([...Object.keys(old.inputs), ...Object.keys(node.inputs)])].filter((name) => !sameJson(old.inputs[name], node.inputs[name])).map((name) => ({
			input: name,
			before: old.inputs[name],
			after: node.inputs[name]
		}));
		for (const key of [
			"type",
			"mode",
			"title"
		]) if (old[key] !== node[key]) changes.push({
			input: key,
			before: old[key],
			after: node[key]
		});
		if (changes.length) changed[id] = changes;
	}
	return {
		added: Object.keys(after.nodes).filter((id) => !before.nodes[id]),
		removed: Object.keys(before.nodes).filter((id) => !after.nodes[id]),
		changed
	};
}
var isSame = (found) => !found.added.length && !found.removed.length && !Object.keys(found.changed).length;
// src/state/node-run.ts
var runId = (path, id) => [...path, id].join(":");
var most = (runs, key) => Math.max(...runs.map((run) => run[key] ?? 0));
function together(runs) {
	const is = (state) => runs.find((run) => run.state === state);
	const alone = is("failed") ?? is("running");
	if (alone || !runs.length) return alone;
	if (!is("done")) return runs[0];
	return {
		state: "done",
		seconds: runs.reduce((sum, run) => sum + (run.seconds ?? 0), 0),
		memory: most(runs, "memory"),
		peak: most(runs, "peak")
	};
}
function useNodeRun(id) {
	const full = runId(useDocument((state) => state.path), id);
	return useRun(useShallow((state) => {
		const nodes = shownJob(state)?.nodes;
		if (!nodes || nodes[full]) return nodes?.[full];
		return together(Object.keys(nodes).filter((key) => key.startsWith(`${full}:`)).map((key) => nodes[key]));
	}));
}
function visibleNode(full) {
	const { workflow } = current();
	for (let id = full;; id = id.slice(0, id.lastIndexOf(":"))) {
		if (workflow.nodes[id]) return id;
		if (!id.includes(":")) return null;
	}
}
function whyAgain(id) {
	const { before, sent } = useRun.getState();
	return before && sent ? (difference(before, sent).changed[id] ?? []).map((change) => change.input) : [];
}
// src/state/schema.ts
var import_react = __toESM(require_react(), 1);
var useSchema = create(() => ({
	definitions: new Map(),
	folders: {},
	uploads: []
}));
async function loadDefinitions() {
	const { nodes } = await call("v1/nodes");
	useSchema.setState({ definitions: definitions(nodes) });
}
async function loadModels() {
	const { folders } = await call("v1/models");
	useSchema.setState({ folders });
}
async function loadUploads() {
	const { assets } = await call("v1/assets?kind=input&limit=200");
	useSchema.setState({ uploads: assets });
}
async function upload(file, name) {
	const asset = await call(`v1/assets?name=${encodeURIComponent(name)}`, { body: file });
	await loadUploads();
	return asset;
}
function choices(folder) {
	const { folders, uploads } = useSchema.getState();
	return folder === "input" ? uploads.map((asset) => asset.name) : folders[folder]?.map((file) => file.name);
}
function useDefinition(id) {
	const defs = useSchema((state) => state.definitions);
	const node = useDocument((state) => state.graph.nodes[id]);
	const known = node && defs.get(node.type);
	const graph = useDocument((state) => known ? null : state.graph);
	return (0, import_react.useMemo)(() => known ?? (node && graph ? definitionOf(defs, current().workflow, id, node, graph) : void 0), [
		defs,
		id,
		node,
		known,
		graph
	]);
}
function definitionIn(id) {
	const { graph, workflow } = current();
	const node = graph.nodes[id];
	return node && definitionOf(useSchema.getState().definitions, workflow, id, node, graph);
}
// src/state/view.ts
var useView = create(() => ({
	nodes: [],
	edges: [],
	flow: null,
	linking: null,
	palette: null,
	menu: null,
	dialog: null,
	panel: null,
	mode: "canvas",
	renaming: null,
	note: null,
	errors: [],
	snap: true,
	marks: {},
	ghosts: [],
	tour: null,
	far: false,
	settled: false,
	fitted: 0
}));
var show = (dialog) => useView.setState({ dialog });
var PANEL = "graphflow.panel";
var lastPanel = () => localStorage.getItem(PANEL);
function togglePanel(panel) {
	const next = useView.getState().panel === panel ? null : panel;
	useView.setState({ panel: next });
	if (next) localStorage.setItem(PANEL, next);
	else localStorage.removeItem(PANEL);
}
var TOUR = "graphflow.tour";
var tourSeen = () => localStorage.getItem(TOUR) !== null;
var say = (text) => useView.setState({ note: { text } });
var messageOf = (error) => error instanceof Error ? error.message : String(error);
function sayError(error) {
	const text = messageOf(error);
	useView.setState(({ errors }) => ({ errors: [...errors.filter((one) => one.text !== text), { text }].slice(-3) }));
}
var closeError = (said) => useView.setState(({ errors }) => ({ errors: errors.filter((one) => one !== said) }));
function inGraph([x, y]) {
	const point = useView.getState().flow?.screenToFlowPosition({
		x,
		y
	});
	return [point?.x ?? 0, point?.y ?? 0];
}
var isFrame = (id) => id.startsWith("frame:");
var frameIndex = (id) => Number(id.slice(6));
var selection = () => useView.getState().nodes.filter((node) => node.selected && node.type === "card").map((node) => node.id);
var selectedFrames = () => useView.getState().nodes.filter((node) => node.selected && node.type === "frame").map((node) => frameIndex(node.id));
function select(ids) {
	const chosen = new Set(ids);
	useView.setState((state) => ({
		nodes: state.nodes.map((node) => Boolean(node.selected) === chosen.has(node.id) ? node : {
			...node,
			selected: chosen.has(node.id)
		}),
		edges: state.edges.map((edge) => edge.selected ? {
			...edge,
			selected: false
		} : edge)
	}));
}
function sizes() {
	const found = new Map();
	for (const node of useView.getState().nodes) if (node.measured?.width && node.measured.height) found.set(node.id, [node.measured.width, node.measured.height]);
	return found;
}
function reveal(id) {
	const { flow, nodes } = useView.getState();
	const node = nodes.find((one) => one.id === id);
	if (!node) return;
	useView.setState({ mode: "canvas" });
	select([id]);
	const [width, height] = [node.measured?.width ?? 260, node.measured?.height ?? 160];
	flow?.setCenter(node.position.x + width / 2, node.position.y + height / 2, {
		zoom: Math.max(flow.getZoom(), .9),
		duration: 200
	});
	requestAnimationFrame(() => document.querySelector(`.react-flow__node[data-id="${CSS.escape(id)}"]`)?.focus({ preventScroll: true }));
}
// src/state/events.ts
function adopt(job) {
	if (!useRun.getState().ours.has(job.id) && job.client !== useSession.getState().draft) return;
	useRun.setState((state) => ({ ours: new Set([...state.ours, job.id]) }));
	const { shown, jobs } = useRun.getState();
	if (shown === null || !isActive(jobs[shown] ?? job)) follow(job.id);
}
function follow(id) {
	showJob(id);
	const job = useRun.getState().jobs[id];
	if (job?.outputs.length) keepResults(job);
}
function keepResults(job) {
	const results = {};
	for (const output of job.outputs) (results[output.node] ??= []).push(output);
	useRun.setState((state) => ({ results: {
		...state.results,
		...results
	} }));
}
var NEW = {
	nodes: {},
	planned: 0
};
function learn(job) {
	useRun.setState((state) => {
		const known = state.jobs[job.id];
		if (known && !isActive(known) && isActive(job)) return state;
		return { jobs: {
			...state.jobs,
			[job.id]: {
				...NEW,
				...known,
				...job
			}
		} };
	});
	adopt(job);
	const now = useRun.getState().jobs[job.id];
	const told = Object.values(now?.nodes ?? {}).some((node) => node.state === "failed");
	if (now?.status === "failed" && now.error && !told && useRun.getState().ours.has(job.id)) fail({
		type: "job.failed",
		job: now.id,
		error: now.error,
		time: now.finished ?? 0
	});
}
function setNode(id, node, change) {
	setJob(id, (job) => ({
		...job,
		nodes: {
			...job.nodes,
			[node]: {
				...job.nodes[node],
				...change
			}
		}
	}));
}
function ended(nodes) {
	const all = Object.entries(nodes);
	return all.some(([, node]) => node.state === "running") ? Object.fromEntries(all.filter(([, node]) => node.state !== "running")) : nodes;
}
function fail(message) {
	setJob(message.job, (job) => ({
		...job,
		status: "failed",
		error: message.error,
		finished: message.time
	}));
	const node = message.error.problems?.[0]?.node;
	if (node) setNode(message.job, node, {
		state: "failed",
		message: message.error.message
	});
	if (!useRun.getState().ours.has(message.job)) return;
	sayError(message.error.message);
	const shown = node && visibleNode(node);
	if (shown) reveal(shown);
}
function progressOf(job) {
	const total = job.planned || Object.keys(current().workflow.nodes).length;
	let done = 0;
	for (const node of Object.values(job.nodes)) done += node.state === "running" ? node.total ? (node.value ?? 0) / node.total : 0 : 1;
	return Math.max(job.progress, total ? Math.min(done / total, 1) : 0);
}
function ofJob(message) {
	const id = message.job;
	const { jobs } = useRun.getState();
	if (!jobs[id]) call(`v1/jobs/${id}`).then(learn, () => void 0);
	switch (message.type) {
		case "job.started":
			setJob(id, (job) => ({
				...job,
				status: "running",
				started: message.time,
				planned: message.nodes.length,
				nodes: {}
			}));
			if (useRun.getState().ours.has(id)) follow(id);
			break;
		case "node.started":
			setNode(id, message.node, { state: "running" });
			break;
		case "node.progress": {
			const { value, total, text } = message;
			setNode(id, message.node, {
				state: "running",
				value,
				total,
				text
			});
			break;
		}
		case "node.cached":
			setNode(id, message.node, {
				state: "cached",
				reason: message.reason,
				made: message.made
			});
			break;
		case "node.done":
			noteTiming(current().workflow.nodes[message.node]?.type ?? "", message.seconds);
			setNode(id, message.node, {
				state: "done",
				seconds: message.seconds,
				memory: message.memory,
				peak: message.peak
			});
			break;
		case "node.skipped":
			setNode(id, message.node, {
				state: "skipped",
				text: message.reason
			});
			break;
		case "node.output":
			setJob(id, (job) => ({
				...job,
				outputs: [...job.outputs.filter((one) => one.node !== message.node), ...message.outputs]
			}));
			if (useRun.getState().ours.has(id)) keepResults(message);
			break;
		case "job.done":
			setJob(id, (job) => ({
				...job,
				status: "done",
				progress: 1,
				outputs: message.outputs,
				finished: message.time,
				peak: message.peak
			}));
			if (useRun.getState().ours.has(id)) {
				keepResults(message);
				say(t("run.done"));
			}
			break;
		case "job.failed":
			fail(message);
			break;
		case "job.cancelled": setJob(id, (job) => ({
			...job,
			status: "cancelled",
			finished: message.time
		}));
	}
	setJob(id, (job) => job.status === "running" ? job : {
		...job,
		nodes: ended(job.nodes)
	});
	setJob(id, (job) => job.status === "running" ? {
		...job,
		progress: progressOf(job)
	} : job);
}
function hello(message) {
	useRun.setState((state) => {
		const finished = Object.fromEntries(Object.entries(state.jobs).filter(([, job]) => !isActive(job)));
		const active = Object.fromEntries(message.jobs.map((job) => [job.id, job]));
		return {
			connection: "live",
			paused: message.paused,
			build: message.build,
			outdated: state.build !== "" && state.build !== message.build,
			workers: Object.fromEntries(message.workers.map((worker) => [worker.name, worker])),
			jobs: {
				...finished,
				...active
			},
			queue: message.jobs.filter((job) => job.status === "queued").map((job) => job.id)
		};
	});
	for (const job of message.jobs) adopt(job);
	if (!useSchema.getState().definitions.size) Promise.all([
		loadDefinitions(),
		loadModels(),
		loadUploads()
	]);
	loadHistory();
}
async function loadHistory() {
	const { jobs } = await call("v1/jobs?limit=30").catch(() => ({ jobs: [] }));
	const known = useRun.getState().jobs;
	const unknown = jobs.filter((job) => !isActive(known[job.id]) || job.status !== known[job.id]?.status);
	useRun.setState((state) => ({ jobs: {
		...state.jobs,
		...Object.fromEntries(unknown.map((job) => [job.id, {
			...NEW,
			...state.jobs[job.id],
			...job
		}]))
	} }));
	const last = jobs.find((job) => job.status === "done" && job.client === useSession.getState().draft);
	const { shown, jobs: now } = useRun.getState();
	if (last && (shown === null || now[shown]?.status === "done")) keepResults(last);
}
function apply(message) {
	if ("job" in message) ofJob(message);
	else if (message.type === "hello") hello(message);
	else if (message.type === "queue") useRun.setState({
		queue: message.jobs,
		paused: message.paused
	});
	else if (message.type === "worker") useRun.setState((state) => ({ workers: {
		...state.workers,
		[message.name]: message
	} }));
	else if (message.type === "asset") {
		useRun.setState((state) => ({ assets: state.assets + 1 }));
		if (message.asset.kind === "input") loadUploads();
	} else if (message.type === "nodes") Promise.all([loadDefinitions(), loadModels()]);
}
function keepPreview({ job, node, blob }) {
	const state = useRun.getState();
	if (job !== state.shown) return;
	const old = state.previews[node];
	useRun.setState({ previews: {
		...state.previews,
		[node]: URL.createObjectURL(blob)
	} });
	if (old) setTimeout(() => URL.revokeObjectURL(old), 2e3);
}
function startEvents() {
	let waiting = [];
	const flush = () => {
		const all = waiting;
		waiting = [];
		for (const one of all) "blob" in one ? keepPreview(one) : apply(one);
	};
	const gather = (one) => {
		waiting.push(one);
		if (waiting.length > 1) return;
		requestAnimationFrame(flush);
		setTimeout(flush, 100);
	};
	connectLive({
		message: gather,
		preview: gather,
		lost: () => useRun.setState({ connection: "lost" })
	});
}
// src/state/session.ts
var useSession = create(() => ({
	draft: newKey(),
	revision: null,
	file: null,
	saved: "saved"
}));
var local = (draft) => `graphflow.draft.${draft}`;
var LAST = "graphflow.last";
var OPENED = "graphflow.opened";
function begin(workflow, session, locked = false) {
	forgetRun();
	useSession.setState(session);
	open(workflow, locked);
	sessionStorage.setItem(LAST, session.draft);
	loadHistory();
}
function openWorkflow(workflow, file = null, locked = false, draft = newKey()) {
	begin(workflow, {
		draft,
		revision: null,
		file,
		saved: "saved"
	}, locked);
	try {
		sessionStorage.setItem(OPENED, writeJson({
			workflow,
			file,
			locked
		}));
	} catch {
		sessionStorage.removeItem(OPENED);
	}
}
var record = () => ({
	workflow: current().workflow,
	file: useSession.getState().file
});
function keepHere(draft = useSession.getState().draft) {
	sessionStorage.removeItem(OPENED);
	localStorage.setItem(local(draft), writeJson({
		...record(),
		revision: useSession.getState().revision
	}));
}
async function put() {
	const { draft, revision } = useSession.getState();
	const { workflow } = current();
	useSession.setState({ saved: "saving" });
	try {
		const response = await send(`v1/drafts/${draft}`, {
			method: "PUT",
			json: record(),
			headers: revision === null ? {} : { "If-Match": revision }
		});
		useSession.setState({ revision: response.headers.get("ETag") });
		if (workflow === current().workflow) {
			useSession.setState({ saved: "saved" });
			localStorage.removeItem(local(draft));
		}
	} catch (error) {
		const conflict = error instanceof ServerError && (error.status === 412 || error.status === 409);
		useSession.setState({ saved: conflict ? "conflict" : "offline" });
		if (!conflict) return;
		localStorage.removeItem(local(draft));
		keepHere(`${draft}-${newKey().slice(0, 4)}`);
		show({ kind: "conflict" });
	}
}
function forgetCopies(draft) {
	for (const key of Object.keys(localStorage)) if (key.startsWith(local(`${draft}-`))) localStorage.removeItem(key);
}
async function keepMine() {
	forgetCopies(useSession.getState().draft);
	useSession.setState({
		draft: newKey(),
		revision: null
	});
	sessionStorage.setItem(LAST, useSession.getState().draft);
	show(null);
	await put();
}
async function takeTheirs() {
	forgetCopies(useSession.getState().draft);
	show(null);
	await openDraft(useSession.getState().draft);
}
function read$1(json) {
	if (!isRecord(json)) return null;
	const body = isRecord(json.draft) ? json.draft : json;
	if (!isRecord(body.workflow)) return null;
	const file = isRecord(body.file) ? {
		id: String(body.file.id),
		version: Number(body.file.version)
	} : null;
	return {
		workflow: cleanWorkflow(body.workflow),
		file,
		revision: typeof body.revision === "string" ? body.revision : null,
		locked: body.locked === true
	};
}
async function openDraft(draft) {
	const kept = localStorage.getItem(local(draft));
	let revision = null;
	let found = null;
	const own = kept ? read$1(parseJson(kept)) : null;
	if (!own || own.revision !== null) try {
		const response = await send(`v1/drafts/${draft}`);
		revision = response.headers.get("ETag");
		found = read$1(parseJson(await response.text()));
	} catch {}
	if (own && found && own.revision !== revision && !sameJson(own.workflow, found.workflow)) {
		localStorage.removeItem(local(draft));
		draft = newKey();
		revision = null;
	}
	found = own ?? found;
	if (!found) return false;
	begin(found.workflow, {
		draft,
		revision,
		file: found.file,
		saved: kept ? "offline" : "saved"
	});
	sessionStorage.removeItem(OPENED);
	if (kept) put();
	return true;
}
async function openLast() {
	const last = sessionStorage.getItem(LAST);
	const opened = sessionStorage.getItem(OPENED);
	const found = last && opened ? read$1(parseJson(opened)) : null;
	if (last && found) {
		openWorkflow(found.workflow, found.file, found.locked, last);
		return true;
	}
	if (last && await openDraft(last)) return true;
	for (const key of Object.keys(localStorage)) {
		const prefix = local("");
		if (key.startsWith(prefix) && await openDraft(key.slice(prefix.length))) return true;
	}
	const { drafts } = await call("v1/drafts").catch(() => ({ drafts: [] }));
	const newest = [...drafts].sort((a, b) => b.updated - a.updated)[0];
	return newest ? openDraft(newest.id) : false;
}
async function saveFile(name, tags, asNew, version) {
	amend((workflow) => ({
		...workflow,
		name
	}));
	const { file } = useSession.getState();
	const { workflow } = current();
	const body = {
		name,
		...tags ? { tags } : {},
		...version ? { version_name: version } : {},
		workflow
	};
	const saved = file && !asNew ? await call(`v1/workflows/${file.id}`, {
		method: "PUT",
		json: body,
		headers: { "If-Match": `"${file.version}"` }
	}) : await call("v1/workflows", { json: body });
	useSession.setState({ file: {
		id: saved.id,
		version: saved.version
	} });
	unlock();
	const picture = Object.values(useRun.getState().results).flat().findLast((output) => output.media_type.startsWith("image/"));
	if (picture && saved.thumbnail !== picture.asset) await call(`v1/workflows/${saved.id}`, {
		method: "PUT",
		json: { thumbnail: picture.asset },
		headers: { "If-Match": `"${saved.version}"` }
	});
	put();
}
function startDrafts() {
	let timer;
	useDocument.subscribe((state, before) => {
		if (state.refused !== before.refused) say(t("share.locked"));
		if (state.workflow === before.workflow || state.locked || state.opened !== before.opened || useSession.getState().saved === "conflict") return;
		clearTimeout(timer);
		useSession.setState({ saved: "saving" });
		timer = setTimeout(() => {
			keepHere();
			put();
		}, 600);
	});
	addEventListener("pagehide", () => useSession.getState().saved === "saving" && keepHere());
	setInterval(() => useSession.getState().saved === "offline" && void put(), 5e3);
}
// src/graph/arrange.ts
async function arranged(graph, ids, sizes) {
	const { Graph: DagreGraph, layout } = await __vitePreload(async () => {
		const { Graph: DagreGraph, layout } = await import("./dagre.js").then((n) => n.t);
		return {
			Graph: DagreGraph,
			layout
		};
	}, __vite__mapDeps([0,1]), import.meta.url);
	const dagre = new DagreGraph().setGraph({
		rankdir: "LR",
		nodesep: 32,
		ranksep: 72
	}).setDefaultEdgeLabel(() => ({}));
	const chosen = new Set(ids);
	for (const id of ids) {
		const [width, height] = sizes.get(id) ?? [260, 160];
		dagre.setNode(id, {
			width,
			height
		});
	}
	for (const wire of wires(graph)) if (chosen.has(wire.node) && chosen.has(wire.target)) dagre.setEdge(wire.node, wire.target);
	layout(dagre);
	const placed = new Map();
	for (const id of ids) {
		const node = dagre.node(id);
		placed.set(id, [node.x - node.width / 2, node.y - node.height / 2]);
	}
	const [before, after] = [cornerOf(ids.map((id) => boxOf(graph, id).position)), cornerOf([...placed.values()])];
	const onGrid = (value) => Math.round(value / 8) * 8;
	for (const [id, [x, y]] of placed) placed.set(id, [onGrid(x + before[0] - after[0]), onGrid(y + before[1] - after[1])]);
	return placed;
}
// src/server/assets.ts
async function convert(file) {
	const answer = await call("v1/workflows/convert", { body: file });
	const json = isRecord(answer.workflow) ? answer.workflow : {};
	const workflow = cleanWorkflow(json);
	return {
		workflow: isRecord(json.layout) && Object.keys(json.layout).length > 0 ? workflow : await laidOut(workflow),
		notes: answer.notes ?? []
	};
}
async function laidOut(workflow) {
	const sizes = Object.entries(workflow.nodes).map(([id, node]) => [id, [264, 80 + 30 * Object.keys(node.inputs).length]]);
	return move(workflow, await arranged(workflow, Object.keys(workflow.nodes), new Map(sizes)));
}
async function workflowOf(asset) {
	const json = await call(`v1/assets/${asset}/workflow`);
	const inner = isRecord(json) && isRecord(json.workflow) ? json.workflow : json;
	return cleanWorkflow(isRecord(inner) ? inner : {});
}
// src/files.ts
var isPicture = (file) => file.type.startsWith("image/") && file.type !== "image/svg+xml" || file.type.startsWith("video/");
function fixSeeds(workflow) {
	return Object.entries(workflow.layout).reduce((next, [id, box]) => (box.draw ?? []).reduce((one, input) => setDrawn(one, id, input, false), next), workflow);
}
function drawAllSeeds(workflow) {
	const defs = useSchema.getState().definitions;
	return Object.entries(workflow.nodes).reduce((next, [id, node]) => {
		return (defs.get(node.type)?.inputs ?? []).filter((port) => port.field && widgetOf(port.field).kind === "seed").reduce((one, port) => setDrawn(one, id, port.name, true), next);
	}, workflow);
}
var name = (file) => file instanceof File ? file.name : "";
async function read(file) {
	if (isPicture(file)) {
		const converted = await convert(file);
		return {
			...converted,
			workflow: fixSeeds(converted.workflow)
		};
	}
	if (file.size > LIMITS.bytes) throw new UnreadableFile("file.tooLarge");
	const text = await file.text();
	try {
		return {
			workflow: readWorkflow(text),
			notes: []
		};
	} catch (error) {
		if (!(error instanceof UnreadableFile) || error.problem !== "file.foreign") throw error;
		const converted = await convert(new Blob([text], { type: "application/json" }));
		if (!Object.keys(converted.workflow.nodes).length) throw error;
		return converted;
	}
}
async function openFile(file, at = [0, 0]) {
	try {
		const { workflow, notes } = await read(file);
		openWorkflow(workflow.name ? workflow : {
			...workflow,
			name: name(file).replace(/\.\w+$/, "")
		});
		say(notes.length ? t("file.openedWith", { notes: notes.join(" ") }) : t("file.opened", { name: name(file) || workflow.name }));
	} catch (error) {
		if (isPicture(file) && error instanceof ServerError && error.status !== 0 && error.status < 500) return loadPicture(file, at);
		const sentence = error instanceof UnreadableFile ? t(error.problem) : messageOf(error);
		sayError(`${name(file)}: ${sentence}`);
	}
}
async function loadPicture(file, at) {
	const def = useSchema.getState().definitions.get("LoadImage");
	try {
		const asset = await upload(file, name(file) || "pasted.png");
		if (!def) return;
		edit((graph) => {
			const { graph: next, id } = addNode(graph, def, at);
			return setValue(next, id, "image", asset.name);
		});
		say(t("file.noWorkflow", { name: asset.name }));
	} catch (error) {
		sayError(`${name(file)}: ${messageOf(error)}`);
	}
}
async function openFiles(transfer, at) {
	const file = transfer.files[0];
	if (file) return openFile(file, at);
	const text = transfer.getData("text/plain");
	if (text.trimStart().startsWith("{")) await openFile(new File([text], "workflow.json", { type: "application/json" }), at);
}
function looksLikeWorkflow(text) {
	if (!text.trimStart().startsWith("{")) return false;
	try {
		const json = parseJson(text);
		return isOurs(json) || isRecord(json) && Object.values(json).some((one) => isRecord(one) && "class_type" in one);
	} catch {
		return false;
	}
}
function chooseFile() {
	const input = document.createElement("input");
	input.type = "file";
	input.accept = ".json,.png,.webp,.jpg,.jpeg,application/json,image/*";
	input.onchange = () => input.files?.[0] && void openFile(input.files[0]);
	input.click();
}
function download() {
	const { workflow } = current();
	const link = document.createElement("a");
	link.href = URL.createObjectURL(new Blob([writeWorkflow(workflow)], { type: "application/json" }));
	link.download = `${(workflow.name || "workflow").replace(/[^\w .-]+/g, "_")}.json`;
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 1e3);
}
// src/actions/library.ts
var newWorkflow = () => openWorkflow({
	...EMPTY,
	name: ""
});
var templates = async () => (await call("v1/templates")).templates;
function openTemplate(template) {
	const workflow = cleanWorkflow(template.workflow ?? {});
	openWorkflow(drawAllSeeds({
		...workflow,
		name: template.title || workflow.name
	}));
	show(null);
}
async function openSaved(id) {
	const saved = await call(`v1/workflows/${id}`);
	openWorkflow(cleanWorkflow(saved.workflow ?? {}), {
		id: saved.id,
		version: saved.version
	});
	show(null);
}
async function save() {
	const { workflow } = current();
	if (!useSession.getState().file || !workflow.name) return show({ kind: "save" });
	await saveAs(workflow.name, null, false);
}
async function saveAs(name, tags, asNew) {
	try {
		await saveFile(name, tags, asNew);
		say(t("file.saved", { name }));
		show(null);
	} catch (error) {
		if (error instanceof ServerError && error.status === 412) show({ kind: "conflict" });
		else sayError(error);
	}
}
async function openShared(token) {
	const shared = await call(`v1/shared/${token}`);
	openWorkflow(cleanWorkflow(isRecord(shared) && isRecord(shared.workflow) ? shared.workflow : {}), null, true);
	say(t("share.opened"));
}
var copyText = (text, done) => navigator.clipboard.writeText(text).then(() => say(done), () => sayError(t("copy.refused")));
async function share() {
	const { file } = useSession.getState();
	if (!file) {
		say(t("share.saveFirst"));
		return show({ kind: "save" });
	}
	const { token } = await call(`v1/workflows/${file.id}/share`, {
		method: "POST",
		json: {}
	});
	const address = `${url("")}#share=${token}`;
	await copyText(address, t("share.copied", { address }));
}
async function unshare() {
	const { file } = useSession.getState();
	if (!file) return say(t("share.saveFirst"));
	await call(`v1/workflows/${file.id}/share`, { method: "DELETE" }).then(() => say(t("share.revoked")), sayError);
}
var origin = () => url("").replace(/\/$/, "");
var copyCurl = () => copyText(asCurl(origin(), current().workflow), t("copy.curl"));
var copyPython = () => copyText(asPython(origin(), current().workflow), t("copy.python"));
// src/actions/view.ts
var flow = () => useView.getState().flow;
var QUICK = { duration: 150 };
var READABLE = .85;
var zoomIn = () => void flow()?.zoomIn(QUICK);
var zoomOut = () => void flow()?.zoomOut(QUICK);
var actualSize = () => void flow()?.zoomTo(1, QUICK);
var PADDING = .05;
var fitAll = () => void flow()?.fitView({
	padding: PADDING,
	maxZoom: 1,
	duration: 200
});
async function showOpened() {
	const view = flow();
	const boxes = view?.getNodes() ?? [];
	const { width } = view?.getNodesBounds(boxes) ?? { width: 0 };
	const first = boxes.reduce((best, one) => one.position.x + one.position.y < best.position.x + best.position.y ? one : best, boxes[0]);
	if (innerWidth >= 700 || width * READABLE < innerWidth) await view?.fitView({
		padding: PADDING,
		maxZoom: 1,
		minZoom: .2
	});
	else await view?.setViewport({
		x: 24 - first.position.x * READABLE,
		y: 64 - first.position.y * READABLE,
		zoom: READABLE
	});
}
var toggleSnap = () => useView.setState((view) => ({ snap: !view.snap }));
var selectAll = () => select(Object.keys(current().graph.nodes).filter((id) => id !== "$inputs" && id !== "$outputs"));
function setMode(mode) {
	if (mode === "form" && current().path.length) enter([]);
	useView.setState({ mode });
	history.replaceState(null, "", mode === "form" ? "#form" : location.pathname + location.search);
}
var toggleForm = () => setMode(useView.getState().mode === "form" ? "canvas" : "form");
function escape() {
	const view = useView.getState();
	if (view.menu) useView.setState({ menu: null });
	else if (view.palette) {
		useView.setState({ palette: null });
		document.querySelector(".canvas")?.focus({ preventScroll: true });
	} else if (view.dialog) useView.setState({ dialog: null });
	else select([]);
}
// src/state/answer.ts
function useAnswer(ask, deps) {
	const [answer, setAnswer] = (0, import_react.useState)(null);
	const again = () => void ask().then(setAnswer);
	(0, import_react.useEffect)(again, deps);
	return [answer, again];
}
// src/canvas/Results.tsx
var import_jsx_runtime = require_jsx_runtime();
var toAsset = (output) => ({
	id: output.asset,
	name: output.name,
	kind: "output",
	media_type: output.media_type,
	size: 0,
	created: 0,
	width: null,
	height: null,
	job: null,
	node: output.node
});
function TextOutput({ asset }) {
	const [text] = useAnswer(() => send(assetUrl(asset)).then((response) => response.text(), () => ""), [asset]);
	return (0, import_jsx_runtime.jsx)("pre", {
		className: "text-output nodrag nowheel",
		tabIndex: 0,
		children: text?.slice(0, 2e4)
	});
}
function Result({ output }) {
	if (output.media_type.startsWith("image/")) return (0, import_jsx_runtime.jsx)("button", {
		type: "button",
		className: "result nodrag",
		"aria-label": t("card.openResult", { name: output.name }),
		onClick: () => show({
			kind: "viewer",
			asset: toAsset(output)
		}),
		children: (0, import_jsx_runtime.jsx)("img", {
			src: thumbnailUrl(output.asset, 512),
			alt: output.name,
			loading: "lazy",
			draggable: false
		})
	});
	if (output.media_type.startsWith("video/")) return (0, import_jsx_runtime.jsx)("video", {
		className: "result nodrag",
		src: assetUrl(output.asset),
		controls: true,
		loop: true,
		muted: true
	});
	if (output.media_type.startsWith("text/")) return (0, import_jsx_runtime.jsx)(TextOutput, { asset: output.asset });
	return (0, import_jsx_runtime.jsx)("a", {
		className: "result-file",
		href: assetUrl(output.asset),
		download: output.name,
		children: output.name
	});
}
function Results({ id }) {
	const full = runId(useDocument((state) => state.path), id);
	const preview = useRun((state) => state.previews[full]);
	const results = useRun((state) => state.results[full]);
	const run = useNodeRun(id);
	const [running, message] = [run?.state === "running", run?.message];
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [
		message && (0, import_jsx_runtime.jsx)("p", {
			className: "card-problem",
			role: "alert",
			children: message
		}),
		preview && running && (0, import_jsx_runtime.jsx)("img", {
			className: "preview",
			src: preview,
			alt: t("card.preview"),
			draggable: false
		}),
		results && !(preview && running) && (0, import_jsx_runtime.jsx)("div", {
			className: `results ${results.length > 1 ? "many" : ""}`,
			children: results.map((output) => (0, import_jsx_runtime.jsx)(Result, { output }, output.asset + output.name))
		})
	] });
}
// src/canvas/types.ts
var KNOWN = {
	MODEL: {
		hue: 285,
		shape: "hexagon",
		letter: "M"
	},
	CLIP: {
		hue: 85,
		shape: "square",
		letter: "T"
	},
	VAE: {
		hue: 20,
		shape: "diamond",
		letter: "V"
	},
	CONDITIONING: {
		hue: 50,
		shape: "square",
		letter: "C"
	},
	LATENT: {
		hue: 330,
		shape: "circle",
		letter: "L"
	},
	IMAGE: {
		hue: 235,
		shape: "circle",
		letter: "I"
	},
	MASK: {
		hue: 150,
		shape: "circle",
		letter: "K"
	},
	INT: {
		hue: 190,
		shape: "triangle",
		letter: "#"
	},
	FLOAT: {
		hue: 175,
		shape: "triangle",
		letter: "."
	},
	STRING: {
		hue: 120,
		shape: "square",
		letter: "a"
	},
	BOOLEAN: {
		hue: 0,
		shape: "triangle",
		letter: "?"
	},
	COMBO: {
		hue: 100,
		shape: "square",
		letter: "="
	}
};
var SHAPES = [
	"circle",
	"square",
	"diamond",
	"hexagon",
	"triangle"
];
function lookOf(type) {
	const known = KNOWN[type.split("|")[0] ?? ""];
	if (known) return known;
	if (type === "*") return {
		hue: -1,
		shape: "circle",
		letter: "∗"
	};
	let hash = 7;
	for (const char of type) hash = (hash * 31 + char.charCodeAt(0)) % 100003;
	return {
		hue: hash % 360,
		shape: SHAPES[hash % SHAPES.length] ?? "circle",
		letter: type[0]?.toUpperCase() ?? "?"
	};
}
var colorOf = (type) => {
	const { hue } = lookOf(type);
	return hue < 0 ? "var(--muted)" : `light-dark(oklch(0.5 0.14 ${hue}), oklch(0.78 0.13 ${hue}))`;
};
var PATHS$1 = {
	circle: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13z",
	square: "M3.5 2h9a1.5 1.5 0 0 1 1.5 1.5v9a1.5 1.5 0 0 1-1.5 1.5h-9a1.5 1.5 0 0 1-1.5-1.5v-9a1.5 1.5 0 0 1 1.5-1.5z",
	diamond: "M8 .8l7.2 7.2-7.2 7.2L.8 8z",
	hexagon: "M4.4 1.5h7.2L15.4 8l-3.8 6.5H4.4L.6 8z",
	triangle: "M2.2 1.6l12.4 6.4-12.4 6.4z"
};
// src/canvas/FarCard.tsx
var FAR = .35;
var FOLDED = 60;
function useFarHeight(id) {
	const far = useView((view) => view.far && view.renaming !== id);
	const height = useStore((state) => far ? state.nodeLookup.get(id)?.measured.height ?? 0 : 0);
	return height > FOLDED ? height : 0;
}
function FarSocket({ side, name, type, bounds }) {
	const was = bounds?.[side]?.find((one) => one.id === name);
	const place = was ? {
		left: was.x,
		top: was.y
	} : {
		top: 6,
		[side === "source" ? "right" : "left"]: -12
	};
	return (0, import_jsx_runtime.jsx)("i", {
		className: `far-socket ${side}`,
		"data-handleid": name,
		"data-handlepos": side === "source" ? "right" : "left",
		style: {
			...place,
			color: colorOf(type)
		}
	});
}
function FarCard({ id, def, title }) {
	const store = useStoreApi();
	const [bounds] = (0, import_react.useState)(() => store.getState().nodeLookup.get(id)?.internals.handleBounds);
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [
		(0, import_jsx_runtime.jsx)("header", {
			className: "card-title",
			children: (0, import_jsx_runtime.jsx)("span", {
				className: "card-name",
				children: title
			})
		}),
		def.outputs.map((port) => (0, import_jsx_runtime.jsx)(FarSocket, {
			side: "source",
			name: port.name,
			type: port.type,
			bounds
		}, port.name)),
		def.inputs.map((port) => (0, import_jsx_runtime.jsx)(FarSocket, {
			side: "target",
			name: port.name,
			type: port.type,
			bounds
		}, port.name)),
		(0, import_jsx_runtime.jsx)("div", {
			className: "far-results",
			children: (0, import_jsx_runtime.jsx)(Results, { id })
		})
	] });
}
// src/graph/frames.ts
var sizeOf = (sizes, id) => sizes.get(id) ?? [260, 160];
function membersOf(graph, group, sizes) {
	const [x, y, w, h] = group.bounds;
	return Object.keys(graph.nodes).filter((id) => {
		const [left, top] = boxOf(graph, id).position;
		const [width, height] = sizeOf(sizes, id);
		const [cx, cy] = [left + width / 2, top + height / 2];
		return cx >= x && cx <= x + w && cy >= y && cy <= y + h;
	});
}
function changeFrame(graph, index, change) {
	return {
		...graph,
		groups: (graph.groups ?? []).map((group, i) => i === index ? {
			...group,
			...change
		} : group)
	};
}
var removeFrames = (graph, indexes) => ({
	...graph,
	groups: (graph.groups ?? []).filter((_, i) => !indexes.includes(i))
});
function addFrame(graph, ids, sizes, title) {
	if (!ids.length) return graph;
	const corners = ids.map((id) => [boxOf(graph, id).position, sizeOf(sizes, id)]);
	const [left, top] = cornerOf(corners.map(([position]) => position));
	const [right, bottom] = [Math.max(...corners.map(([p, s]) => p[0] + s[0])), Math.max(...corners.map(([p, s]) => p[1] + s[1]))];
	const bounds = [
		left - 24,
		top - 56,
		right - left + 48,
		bottom - top + 80
	];
	return {
		...graph,
		groups: [...graph.groups ?? [], {
			title,
			bounds
		}]
	};
}
function toggleFrame(graph, index, sizes) {
	const group = graph.groups?.[index];
	if (!group) return graph;
	if (group.modes) {
		const restored = Object.entries(group.modes).reduce((next, [id, mode]) => setMode$1(next, [id], mode === "" ? void 0 : mode), graph);
		const { modes: _modes, ...rest } = group;
		return {
			...restored,
			groups: (restored.groups ?? []).map((one, i) => i === index ? rest : one)
		};
	}
	const ids = membersOf(graph, group, sizes);
	const modes = Object.fromEntries(ids.map((id) => [id, graph.nodes[id]?.mode ?? ""]));
	return changeFrame(setMode$1(graph, ids, "bypass"), index, { modes });
}
// src/icons.tsx
var PATHS = {
	down: "M6 9l6 6 6-6",
	right: "M9 6l6 6-6 6",
	left: "M15 6l-6 6 6 6",
	up: "M6 15l6-6 6 6",
	close: "M6 6l12 12M18 6L6 18",
	more: "M5 12h.01M12 12h.01M19 12h.01",
	plus: "M12 5v14M5 12h14",
	minus: "M5 12h14",
	search: "M10.5 4a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13zM15.5 15.5L20 20",
	play: "M7 4.5v15l12-7.5z",
	stop: "M6.5 6.5h11v11h-11z",
	pause: "M8 5v14M16 5v14",
	undo: "M8 5L4 9l4 4M4 9h9a6 6 0 0 1 0 12h-2",
	redo: "M16 5l4 4-4 4M20 9h-9a6 6 0 0 0 0 12h2",
	dice: "M16 4h4v4M20 4l-6.5 6.5M4 20l6.5-6.5M16 20h4v-4M20 20l-5-5M4 4l5 5",
	lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
	arrange: "M4 4h6v5H4zM14 9h6v5h-6zM4 15h6v5H4zM10 6.5h2v5h2M10 17.5h2v-5",
	image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
	queue: "M4 6h16M4 12h16M4 18h10",
	outline: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
	info: "M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17zM12 11v5M12 8h.01",
	warning: "M12 4l9 16H3zM12 10v4M12 17h.01",
	library: "M4 5h5v14H4zM9 5h5v14H9zM15 6l4-1 3 13-4 1z",
	save: "M5 4h11l3 3v13H5zM8 4v5h7V4M8 20v-6h8v6",
	download: "M12 4v11M7.5 10.5L12 15l4.5-4.5M5 20h14",
	upload: "M12 16V5M7.5 9.5L12 5l4.5 4.5M5 20h14",
	share: "M8.5 12a2.5 2.5 0 1 1-5 0a2.5 2.5 0 0 1 5 0zM20.5 6a2.5 2.5 0 1 1-5 0a2.5 2.5 0 0 1 5 0zM20.5 18a2.5 2.5 0 1 1-5 0a2.5 2.5 0 0 1 5 0zM8.2 10.9l7.5-3.8M8.2 13.1l7.5 3.8",
	sun: "M12 8a4 4 0 1 1 0 8a4 4 0 0 1 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5",
	moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
	form: "M4 5h16v4H4zM4 13h10v3H4zM4 20h7",
	graph: "M4 4h6v5H4zM14 15h6v5h-6zM10 6.5h4a3 3 0 0 1 3 3V15",
	bypass: "M3 12h5M16 12h5M8 12a4 4 0 0 1 8 0",
	mute: "M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17zM6 6l12 12",
	color: "M12 3.5c-4.7 0-8.5 3.6-8.5 8.2c0 4.6 3.8 8.8 8.5 8.8c1.6 0 2-1.1 1.5-2.2c-.6-1.3.2-2.8 1.7-2.8h2c2 0 3.3-1.5 3.3-3.6c0-4.8-3.8-8.4-8.5-8.4zM8 10h.01M12 7.5h.01M16 10h.01",
	copy: "M8 8h12v12H8zM4 16V4h12",
	trash: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13",
	frame: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4",
	enter: "M10 5h9v14h-9M4 12h10M10.5 8.5L14 12l-3.5 3.5",
	swap: "M4 8h14M14 4l4 4-4 4M20 16H6M10 12l-4 4 4 4",
	brush: "M14 4l6 6-8 8-6-6zM6 12c-3 2-1 5-4 8c4 1 8 0 10-2",
	expand: "M4 10V4h6M20 14v6h-6M4 4l7 7M20 20l-7-7",
	fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
	history: "M4 5v5h5M4.5 10A8 8 0 1 1 4 13M12 8v4l3 2",
	check: "M5 12.5l4.5 4.5L19 7.5",
	help: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5h.01M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17z",
	snow: "M12 3v18M4.2 7.5l15.6 9M19.8 7.5l-15.6 9M9.5 4.5L12 7l2.5-2.5M9.5 19.5L12 17l2.5 2.5",
	pin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v7",
	compare: "M12 3v18M4 6h5v12H4zM15 6h5v12h-5z",
	code: "M8 7l-5 5 5 5M16 7l5 5-5 5",
	grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z"
};
function Icon({ name, size = 16 }) {
	return (0, import_jsx_runtime.jsx)("svg", {
		className: "icon",
		width: size,
		height: size,
		viewBox: "0 0 24 24",
		fill: "none",
		stroke: "currentColor",
		strokeWidth: "2",
		strokeLinecap: "round",
		strokeLinejoin: "round",
		"aria-hidden": "true",
		children: (0, import_jsx_runtime.jsx)("path", { d: PATHS[name] })
	});
}
function IconButton({ icon, label, size = 16, className = "", ...rest }) {
	return (0, import_jsx_runtime.jsx)("button", {
		type: "button",
		className: `ghost ${className}`,
		"aria-label": label,
		...rest,
		children: (0, import_jsx_runtime.jsx)(Icon, {
			name: icon,
			size
		})
	});
}
// src/canvas/FrameCard.tsx
var TINTS = [
	"",
	"red",
	"amber",
	"green",
	"blue",
	"violet"
];
function FrameCard({ data: { index }, selected }) {
	const group = useDocument((state) => state.graph.groups?.[index]);
	if (!group) return null;
	const next = TINTS[(TINTS.findIndex((tint) => tint === (group.color ?? "")) + 1) % TINTS.length] ?? "";
	return (0, import_jsx_runtime.jsxs)("section", {
		className: `frame ${group.modes ? "bypass" : ""} ${selected ? "selected" : ""}`,
		"data-tint": group.color,
		"aria-label": t("frame.label", { title: group.title }),
		children: [
			(0, import_jsx_runtime.jsx)(NodeResizer, {
				isVisible: selected,
				minWidth: 120,
				minHeight: 90,
				onResizeEnd: (_, { x, y, width, height }) => edit((graph) => changeFrame(graph, index, { bounds: [
					x,
					y,
					width,
					height
				].map(Math.round) }))
			}),
			(0, import_jsx_runtime.jsxs)("header", {
				className: "frame-title",
				children: [
					(0, import_jsx_runtime.jsx)("input", {
						className: "nodrag",
						"aria-label": t("frame.title"),
						value: group.title,
						size: Math.max(group.title.length, 6),
						onChange: (event) => edit((graph) => changeFrame(graph, index, { title: event.target.value }), `frame ${index}`)
					}),
					(0, import_jsx_runtime.jsx)(IconButton, {
						icon: "color",
						className: "nodrag",
						label: t("frame.color"),
						onClick: () => edit((graph) => changeFrame(graph, index, { color: next }))
					}),
					(0, import_jsx_runtime.jsx)(IconButton, {
						icon: "bypass",
						className: "nodrag",
						label: t("frame.bypass"),
						"aria-pressed": Boolean(group.modes),
						onClick: () => edit((graph) => toggleFrame(graph, index, sizes()))
					}),
					(0, import_jsx_runtime.jsx)(IconButton, {
						icon: "close",
						className: "nodrag",
						label: t("frame.remove"),
						onClick: () => edit((graph) => removeFrames(graph, [index]))
					})
				]
			}),
			group.note !== void 0 && (0, import_jsx_runtime.jsx)("textarea", {
				className: "frame-note nodrag nowheel",
				"aria-label": t("frame.note"),
				value: group.note,
				spellCheck: false,
				onChange: (event) => edit((graph) => changeFrame(graph, index, { note: event.target.value }), `note ${index}`)
			})
		]
	});
}
// src/canvas/Link.tsx
var SOCKET_MARGIN = 6;
function pathThrough(points) {
	let path = "";
	for (let i = 1; i < points.length; i += 1) {
		const [a, b] = [points[i - 1], points[i]];
		if (!a || !b) continue;
		const bow = Math.max(Math.abs(b[0] - a[0]) * .45, Math.min(Math.abs(b[1] - a[1]), 40));
		path += `${i === 1 ? `M${a[0]},${a[1]}` : ""} C${a[0] + bow},${a[1]} ${b[0] - bow},${b[1]} ${b[0]},${b[1]}`;
	}
	return path;
}
function split(id) {
	const colon = id.lastIndexOf(":");
	return [id.slice(0, colon), id.slice(colon + 1)];
}
function addBend(id, at) {
	const [target, input] = split(id);
	const bends = current().graph.layout[target]?.bends?.[input] ?? [];
	const place = bends.findIndex((bend) => bend[0] > at[0]);
	const next = [...bends];
	next.splice(place < 0 ? bends.length : place, 0, [Math.round(at[0]), Math.round(at[1])]);
	edit((graph) => setBends(graph, target, input, next));
}
function Bend({ id, index, point, bends }) {
	const [target, input] = split(id);
	const put = (next, key = "") => edit((graph) => setBends(graph, target, input, next), key);
	const drag = (event) => {
		if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
		const [x, y] = inGraph([event.clientX, event.clientY]);
		put(bends.map((bend, i) => i === index ? [Math.round(x), Math.round(y)] : bend), `bend ${id} ${index}`);
	};
	return (0, import_jsx_runtime.jsx)("circle", {
		className: "bend nodrag nopan",
		cx: point[0],
		cy: point[1],
		r: 6,
		role: "button",
		"aria-label": t("link.bend"),
		onPointerDown: (event) => {
			event.stopPropagation();
			event.currentTarget.setPointerCapture(event.pointerId);
		},
		onPointerMove: drag,
		onDoubleClick: (event) => {
			event.stopPropagation();
			put(bends.filter((_, i) => i !== index));
		}
	});
}
var Link = (0, import_react.memo)(function Link({ id, source, sourceX, sourceY, targetX, targetY, selected, data, sourcePosition, targetPosition }) {
	const running = useRun((state) => shownJob(state)?.nodes[source]?.state === "running");
	const bends = data?.bends;
	const [from, to] = [sourceX - SOCKET_MARGIN, targetX + SOCKET_MARGIN];
	const path = bends?.length ? pathThrough([
		[from, sourceY],
		...bends,
		[to, targetY]
	]) : getBezierPath({
		sourceX: from,
		sourceY,
		sourcePosition,
		targetX: to,
		targetY,
		targetPosition
	})[0];
	return (0, import_jsx_runtime.jsxs)("g", {
		className: `wire ${selected ? "selected" : ""} ${running ? "running" : ""}`,
		style: { color: colorOf(data?.type ?? "*") },
		children: [(0, import_jsx_runtime.jsx)(BaseEdge, {
			id,
			path,
			interactionWidth: 18
		}), bends?.map((point, index) => (0, import_jsx_runtime.jsx)(Bend, {
			id,
			index,
			point,
			bends
		}, index))]
	});
});
// src/graph/problems.ts
var problem = (node, input, code, details = {}) => ({
	node,
	input,
	message: "",
	code,
	details
});
function nearest(name, names) {
	const grams = (text) => new Set(Array.from({ length: Math.max(text.length - 1, 1) }, (_, i) => text.toLowerCase().slice(i, i + 2)));
	const wanted = grams(name);
	return names.map((one) => {
		const own = grams(one);
		const shared = [...own].filter((gram) => wanted.has(gram)).length;
		return {
			one,
			score: shared / Math.max(own.size + wanted.size - shared, 1)
		};
	}).filter((item) => item.score > .2).sort((a, b) => b.score - a.score).slice(0, 3).map((item) => item.one);
}
function ofLiteral(id, port, value, choices) {
	if (!port.field) return problem(id, port.name, "needs_link", { type: port.type });
	const widget = widgetOf(port.field);
	const { min, max, choices: offered } = port.judged.includes("value") ? {} : widget;
	if (min !== void 0 && Number(value) < min) return problem(id, port.name, "too_small", { min });
	if (max !== void 0 && Number(value) > max) return problem(id, port.name, "too_large", { max });
	const names = widget.folder ? choices(widget.folder) : void 0;
	if (names && typeof value === "string" && !widget.extra?.includes(value) && !names.includes(value) && widget.kind === "choice") return problem(id, port.name, "missing_file", {
		name: value,
		nearest: nearest(value, names)
	});
	if (offered && !offered.some((choice) => sameJson(choice, value))) return problem(id, port.name, "unknown_choice", {
		name: String(value),
		nearest: nearest(String(value), offered.map(String))
	});
	return null;
}
function ofInput(defs, workflow, graph, id, port, choices) {
	const value = graph.nodes[id]?.inputs[port.name];
	const source = sourceOf(value);
	if (source) {
		const node = graph.nodes[source.node];
		const output = node && outputOf(definitionOf(defs, workflow, source.node, node, graph), source.output);
		if (!output) return problem(id, port.name, "broken_link", { from: source.node });
		return port.judged.includes("link") || fits(output.type, port.type) ? null : problem(id, port.name, "wrong_type", {
			from: output.type,
			to: port.type
		});
	}
	if (value !== void 0 && value !== null) return ofLiteral(id, port, value, choices);
	return port.required && (port.default === null || port.default === void 0) ? problem(id, port.name, port.field ? "needs_value" : "needs_link", { type: port.type }) : null;
}
var isFrozen = (node) => node.frozen !== void 0 && !node.mode;
function needed(defs, workflow, targets) {
	return ancestors(workflow, (targets ?? Object.keys(workflow.nodes).filter((id) => defs.get(workflow.nodes[id]?.type ?? "")?.output_node)).filter((id) => workflow.nodes[id] && !workflow.nodes[id].mode), isFrozen);
}
function problems(defs, workflow, choices, targets) {
	const ids = needed(defs, workflow, targets);
	if (!ids.size) return [problem(null, null, "no_output")];
	const found = [];
	for (const id of Object.keys(workflow.nodes)) {
		const node = workflow.nodes[id];
		if (!node || !ids.has(id) || node.mode || isFrozen(node)) continue;
		const def = definitionOf(defs, workflow, id, node);
		if (def.unknown) found.push(problem(id, null, "unknown_node", {
			type: node.type,
			nearest: nearest(node.type, [...defs.keys()])
		}));
		else for (const port of def.inputs) {
			const one = ofInput(defs, workflow, workflow, id, port, choices);
			if (one) found.push(one);
		}
	}
	return found;
}
// src/state/problems.ts
var useProblems = create(() => ({
	list: [],
	byNode: new Map(),
	rerun: null
}));
var explain = (problem) => {
	const nearest = problem.details.nearest;
	const hint = Array.isArray(nearest) && nearest.length ? ` ${t("problem.nearest", { names: nearest.join(", ") })}` : "";
	if (problem.message) return problem.message;
	return (maybe(`problem.${problem.code}`, problem.details) ?? problem.code) + hint;
};
function keepProblems(list) {
	const byNode = new Map();
	for (const problem of list) {
		const shown = problem.node === null ? null : visibleNode(problem.node);
		const own = shown === problem.node ? problem : {
			...problem,
			input: null
		};
		if (shown !== null) byNode.set(shown, [...byNode.get(shown) ?? [], own]);
	}
	useProblems.setState({
		list,
		byNode
	});
}
function checkHere(targets) {
	return problems(useSchema.getState().definitions, current().workflow, choices, targets);
}
async function checkThere(local) {
	const { workflow } = current();
	if (local.some((one) => one.code === "no_output")) return useProblems.setState({ rerun: null });
	try {
		const plan = await call("v1/plans", { json: {
			workflow,
			tolerant: true
		} });
		if (workflow !== current().workflow) return;
		if (plan.problems.length) {
			const seen = new Set(local.map((one) => `${one.node} ${one.input}`));
			keepProblems([...local, ...plan.problems.filter((one) => !seen.has(`${one.node} ${one.input}`))]);
			return useProblems.setState({ rerun: null });
		}
		const rerun = new Set(plan.tasks.filter((task) => task.cached === null).map((task) => task.node));
		useProblems.setState({ rerun });
	} catch {
		return;
	}
}
function startProblems() {
	let soon;
	let later;
	const check = () => {
		clearTimeout(soon);
		clearTimeout(later);
		soon = setTimeout(() => {
			const local = checkHere();
			keepProblems(local);
			later = setTimeout(() => void checkThere(local), 450);
		}, 120);
	};
	useDocument.subscribe(({ workflow }, { workflow: before }) => (workflow.nodes !== before.nodes || workflow.subgraphs !== before.subgraphs) && check());
	useSchema.subscribe(check);
}
// src/graph/form.ts
var LIKELY = new Set([
	"multiline",
	"seed",
	"image",
	"file"
]);
function formItems(defs, workflow) {
	if (workflow.form?.length) return workflow.form.filter((item) => workflow.nodes[item.node]);
	return inOrder(workflow).flatMap((id) => {
		const node = workflow.nodes[id];
		if (!node || node.mode) return [];
		return definitionOf(defs, workflow, id, node).inputs.filter((port) => port.field && LIKELY.has(widgetOf(port.field).kind) && !sourceOf(node.inputs[port.name])).map((port) => ({
			node: id,
			input: port.name
		}));
	});
}
var isMarked = (workflow, node, input) => Boolean(workflow.form?.some((item) => item.node === node && item.input === input));
function toggleMark(workflow, node, input) {
	const rest = (workflow.form ?? []).filter((item) => item.node !== node || item.input !== input);
	return {
		...workflow,
		form: isMarked(workflow, node, input) ? rest : [...rest, {
			node,
			input
		}]
	};
}
function changeItem(workflow, index, change) {
	return {
		...workflow,
		form: (workflow.form ?? []).map((item, i) => i === index ? {
			...item,
			...change
		} : item)
	};
}
function moveItem(workflow, index, by) {
	const form = [...workflow.form ?? []];
	const target = index + by;
	const item = form[index];
	if (!item || target < 0 || target >= form.length) return workflow;
	form.splice(index, 1);
	form.splice(target, 0, item);
	return {
		...workflow,
		form
	};
}
// src/widgets/FileField.tsx
function FileField({ id, value, set, widget, node, input, label }) {
	const uploads = useSchema((state) => state.uploads);
	const [busy, setBusy] = (0, import_react.useState)(false);
	const name = typeof value === "string" ? value : "";
	const fitting = uploads.filter((asset) => !widget.media || widget.media === "latent" || asset.media_type.startsWith(widget.media));
	const chosen = uploads.find((asset) => asset.name === name || asset.id === name);
	const id32 = chosen?.id ?? (/^[0-9a-f]{32}$/.test(name) ? name : null);
	const take = async (file) => {
		if (!file) return;
		setBusy(true);
		await upload(file, file.name || "pasted.png").then((asset) => set(asset.name), sayError);
		setBusy(false);
	};
	const takeFrom = (event, transfer) => {
		if (event.type === "paste" && !transfer.files.length) return;
		event.preventDefault();
		event.stopPropagation();
		take(transfer.files[0]);
	};
	return (0, import_jsx_runtime.jsxs)("span", {
		className: "file-field nodrag",
		onDrop: (event) => takeFrom(event, event.dataTransfer),
		onDragOver: (event) => event.preventDefault(),
		onPaste: (event) => takeFrom(event, event.clipboardData),
		children: [
			(0, import_jsx_runtime.jsxs)("span", {
				className: "file-row",
				children: [
					(0, import_jsx_runtime.jsxs)("select", {
						id,
						value: chosen ? chosen.name : name,
						onChange: (event) => set(event.target.value),
						children: [
							!chosen && (0, import_jsx_runtime.jsx)("option", {
								value: name,
								children: name || t("choice.none")
							}),
							fitting.map((asset) => (0, import_jsx_runtime.jsx)("option", {
								value: asset.name,
								children: asset.name
							}, asset.id + asset.name)),
							(widget.extra ?? []).map((extra) => (0, import_jsx_runtime.jsx)("option", {
								value: extra,
								children: extra
							}, extra))
						]
					}),
					(0, import_jsx_runtime.jsxs)("label", {
						className: "ghost upload",
						title: t("file.upload"),
						children: [(0, import_jsx_runtime.jsx)(Icon, { name: "upload" }), (0, import_jsx_runtime.jsx)("input", {
							type: "file",
							"aria-label": t("file.uploadTo", { label }),
							accept: widget.media ? `${widget.media}/*` : void 0,
							onChange: (event) => void take(event.target.files?.[0])
						})]
					}),
					id32 && widget.kind === "image" && (0, import_jsx_runtime.jsx)(IconButton, {
						icon: "brush",
						label: t("mask.paint"),
						title: t("mask.paint"),
						onClick: () => show({
							kind: "mask",
							node,
							input,
							asset: id32
						})
					})
				]
			}),
			busy && (0, import_jsx_runtime.jsx)("small", {
				role: "status",
				children: t("file.uploading")
			}),
			id32 && widget.kind === "image" ? (0, import_jsx_runtime.jsx)("img", {
				className: "chosen",
				src: thumbnailUrl(id32),
				alt: name,
				draggable: false
			}) : widget.kind === "image" && (0, import_jsx_runtime.jsx)("span", {
				className: "drop-hint",
				children: t("file.drop")
			})
		]
	});
}
// src/widgets/number.ts
function readNumber(text, widget) {
	const trimmed = text.trim().replace(",", ".");
	if (!trimmed || !Number.isFinite(Number(trimmed))) return null;
	if (!widget.whole) return Number(trimmed);
	if (/^[+-]?\d+$/.test(trimmed) && !Number.isSafeInteger(Number(trimmed))) return BigInt(trimmed);
	return Math.round(Number(trimmed));
}
function clamp(value, widget) {
	if (widget.min !== void 0 && value < widget.min) return widget.min;
	if (widget.max !== void 0 && value > widget.max) return widget.whole && widget.max > Number.MAX_SAFE_INTEGER ? BigInt(widget.max) - 1n : widget.max;
	return value;
}
function stepped(value, steps, widget) {
	if (typeof value === "bigint") return clamp(value + BigInt(steps), widget);
	const step = widget.step ?? 1;
	const digits = Math.max(0, -Math.floor(Math.log10(step)) + 1);
	return clamp(Number((value + steps * step).toFixed(digits)), widget);
}
// src/widgets/NumberField.tsx
var shown = (value) => typeof value === "number" || typeof value === "bigint" || typeof value === "string" ? String(value) : "";
function NumberField({ id, label, value, set, widget }) {
	const [draft, setDraft] = (0, import_react.useState)(null);
	const [note, setNote] = (0, import_react.useState)("");
	const timer = (0, import_react.useRef)(void 0);
	(0, import_react.useEffect)(() => () => clearTimeout(timer.current), []);
	const numeric = typeof value === "bigint" ? value : Number(value ?? 0);
	const commit = (text) => {
		setDraft(null);
		const typed = readNumber(text, widget);
		if (typed === null) return;
		const kept = clamp(typed, widget);
		if (kept !== typed) {
			setNote(t("field.clamped", { value: kept }));
			clearTimeout(timer.current);
			timer.current = setTimeout(() => setNote(""), 2500);
		}
		if (kept !== value) set(kept);
	};
	const key = (event) => {
		const steps = {
			ArrowUp: 1,
			ArrowDown: -1,
			PageUp: 10,
			PageDown: -10
		}[event.key];
		if (event.key === "Enter") commit(event.currentTarget.value);
		if (event.key === "Escape") setDraft(null);
		if (steps === void 0) return;
		event.preventDefault();
		setDraft(null);
		set(stepped(readNumber(event.currentTarget.value, widget) ?? numeric, event.shiftKey ? steps * 10 : steps, widget));
	};
	return (0, import_jsx_runtime.jsxs)("span", {
		className: `number-box nodrag ${note ? "clamped" : ""}`,
		children: [
			widget.kind === "slider" && (0, import_jsx_runtime.jsx)("input", {
				type: "range",
				className: "nodrag",
				"aria-label": t("field.slider", { label }),
				min: widget.min,
				max: widget.max,
				step: widget.step,
				value: Number(numeric),
				onChange: (event) => set(Number(event.target.value))
			}),
			(0, import_jsx_runtime.jsx)("button", {
				type: "button",
				className: "ghost",
				tabIndex: -1,
				"aria-label": t("field.less", { label }),
				onClick: () => set(stepped(numeric, -1, widget)),
				children: "−"
			}),
			(0, import_jsx_runtime.jsx)("input", {
				id,
				type: "text",
				role: "spinbutton",
				inputMode: "decimal",
				autoComplete: "off",
				"aria-valuenow": Number(numeric),
				"aria-valuemin": widget.min,
				"aria-valuemax": widget.max,
				value: draft ?? shown(value),
				onChange: (event) => setDraft(event.target.value),
				onKeyDown: key,
				onBlur: (event) => draft !== null && commit(event.target.value)
			}),
			(0, import_jsx_runtime.jsx)("button", {
				type: "button",
				className: "ghost",
				tabIndex: -1,
				"aria-label": t("field.more", { label }),
				onClick: () => set(stepped(numeric, 1, widget)),
				children: "+"
			}),
			note && (0, import_jsx_runtime.jsx)("small", {
				className: "clamp-note",
				role: "status",
				children: note
			})
		]
	});
}
function SeedField(props) {
	const { node, input } = props;
	const drawn = useDocument((state) => isDrawn(state.graph, node, input));
	const put = (next) => edit((graph) => setDrawn(graph, node, input, next));
	return (0, import_jsx_runtime.jsxs)("span", {
		className: "seed-field nodrag",
		children: [(0, import_jsx_runtime.jsx)(NumberField, {
			...props,
			set: (value) => props.set(value)
		}), (0, import_jsx_runtime.jsx)("button", {
			type: "button",
			className: "toggle-icon",
			"aria-pressed": drawn,
			"aria-label": t("seed.new", { label: props.label }),
			title: t(drawn ? "seed.isNew" : "seed.isFixed"),
			onClick: () => put(!drawn),
			children: (0, import_jsx_runtime.jsx)(Icon, { name: drawn ? "dice" : "lock" })
		})]
	});
}
// src/widgets/simple.tsx
var text = (value) => typeof value === "string" ? value : value === null || value === void 0 ? "" : String(value);
function TextField({ id, value, set }) {
	return (0, import_jsx_runtime.jsx)("input", {
		id,
		className: "nodrag",
		type: "text",
		autoComplete: "off",
		spellCheck: false,
		value: text(value),
		onChange: (event) => set(event.target.value)
	});
}
function ToggleField({ id, value, set }) {
	return (0, import_jsx_runtime.jsxs)("span", {
		className: "switch nodrag",
		children: [(0, import_jsx_runtime.jsx)("input", {
			id,
			type: "checkbox",
			role: "switch",
			checked: Boolean(value),
			onChange: (event) => set(event.target.checked)
		}), (0, import_jsx_runtime.jsx)("i", { "aria-hidden": "true" })]
	});
}
var toHex = (value) => typeof value === "number" ? `#${value.toString(16).padStart(6, "0")}` : text(value);
function ColorField({ id, label, value, set, widget }) {
	const hex = toHex(value);
	const isColor = (one) => /^#[0-9a-f]{6}$/i.test(one);
	const take = (next) => {
		if (!widget.whole) set(next);
		else if (isColor(next)) set(Number.parseInt(next.slice(1), 16));
	};
	return (0, import_jsx_runtime.jsxs)("span", {
		className: "color-field nodrag",
		children: [(0, import_jsx_runtime.jsx)("input", {
			type: "color",
			"aria-label": `${label} picker`,
			value: isColor(hex) ? hex : "#000000",
			onChange: (event) => take(event.target.value)
		}), (0, import_jsx_runtime.jsx)("input", {
			id,
			type: "text",
			autoComplete: "off",
			spellCheck: false,
			defaultValue: hex,
			onBlur: (event) => take(event.target.value)
		}, hex)]
	});
}
var LONG = 120;
function ChoiceField({ id, value, set, widget }) {
	const files = useSchema((state) => widget.folder ? state.folders[widget.folder] : void 0);
	const options = widget.folder ? [...widget.extra ?? [], ...(files ?? []).map((file) => file.name)] : widget.choices ?? [];
	const index = options.findIndex((option) => sameJson(option, value));
	if (options.length > LONG && options.every((option) => typeof option === "string")) return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsx)("input", {
		id,
		className: "nodrag",
		list: `${id}-list`,
		autoComplete: "off",
		value: String(value ?? ""),
		onChange: (event) => set(event.target.value)
	}), (0, import_jsx_runtime.jsx)("datalist", {
		id: `${id}-list`,
		children: options.map((option) => (0, import_jsx_runtime.jsx)("option", { value: String(option) }, String(option)))
	})] });
	return (0, import_jsx_runtime.jsxs)("select", {
		id,
		className: "nodrag",
		value: index,
		onChange: (event) => set(options[Number(event.target.value)] ?? ""),
		children: [index < 0 && (0, import_jsx_runtime.jsx)("option", {
			value: -1,
			children: value === void 0 || value === null || value === "" ? t("choice.none") : t("choice.missing", { name: String(value) })
		}), options.map((option, i) => (0, import_jsx_runtime.jsx)("option", {
			value: i,
			children: String(option)
		}, String(option)))]
	});
}
function JsonField({ id, value, set }) {
	const [draft, setDraft] = (0, import_react.useState)(null);
	const [wrong, setWrong] = (0, import_react.useState)(false);
	const change = (text) => {
		setDraft(text);
		try {
			set(parseJson(text));
			setWrong(false);
		} catch {
			setWrong(true);
		}
	};
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsx)("textarea", {
		id,
		className: "nodrag nowheel code",
		rows: 2,
		"aria-invalid": wrong,
		spellCheck: false,
		value: draft ?? (value === void 0 ? "" : writeJson(value)),
		onChange: (event) => change(event.target.value),
		onBlur: () => !wrong && setDraft(null)
	}), wrong && (0, import_jsx_runtime.jsx)("small", {
		className: "clamp-note",
		role: "status",
		children: t("field.notJson")
	})] });
}
// src/widgets/weight.ts
function weighted(text, start, end, by) {
	let [from, to] = [start, end];
	if (from === to) {
		while (from > 0 && /[^\s,()]/.test(text[from - 1] ?? "")) from -= 1;
		while (to < text.length && /[^\s,():]/.test(text[to] ?? "")) to += 1;
	}
	const words = text.slice(from, to);
	if (!words.trim()) return {
		text,
		start,
		end
	};
	const after = /^:([\d.]+)\)/.exec(text.slice(to));
	const isWeighted = text[from - 1] === "(" && after;
	const weight = Number(((isWeighted ? Number(after[1]) : 1) + by).toFixed(2));
	const [before, rest] = isWeighted ? [text.slice(0, from - 1), text.slice(to + after[0].length)] : [text.slice(0, from), text.slice(to)];
	const plain = Math.abs(weight - 1) < .001;
	const middle = plain ? words : `(${words}:${weight})`;
	const first = before.length + (plain ? 0 : 1);
	return {
		text: before + middle + rest,
		start: first,
		end: first + words.length
	};
}
// src/widgets/MultilineField.tsx
function weightKey(event, set) {
	if (!(event.ctrlKey || event.metaKey) || event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
	event.preventDefault();
	const area = event.currentTarget;
	const next = weighted(area.value, area.selectionStart, area.selectionEnd, event.key === "ArrowUp" ? .05 : -.05);
	set(next.text);
	requestAnimationFrame(() => area.setSelectionRange(next.start, next.end));
}
function MultilineField({ id, value, set, node, input }) {
	return (0, import_jsx_runtime.jsxs)("span", {
		className: "multiline-field",
		children: [(0, import_jsx_runtime.jsx)("textarea", {
			id,
			className: "nodrag nowheel",
			rows: 3,
			value: typeof value === "string" ? value : "",
			onChange: (event) => set(event.target.value),
			onKeyDown: (event) => weightKey(event, set)
		}), (0, import_jsx_runtime.jsx)(IconButton, {
			icon: "expand",
			size: 13,
			className: "nodrag enlarge",
			label: t("text.large"),
			onClick: () => show({
				kind: "text",
				node,
				input
			})
		})]
	});
}
// src/widgets/paste.ts
function readPasted(text, widget, choices = []) {
	const trimmed = text.trim();
	switch (widget.kind) {
		case "toggle": return /^(true|yes|on|1)$/i.test(trimmed) ? true : /^(false|no|off|0)$/i.test(trimmed) ? false : void 0;
		case "number":
		case "slider":
		case "seed": {
			const typed = readNumber(trimmed, widget);
			return typed === null ? void 0 : clamp(typed, widget);
		}
		case "color": {
			const hex = /^#?([0-9a-f]{6})$/i.exec(trimmed)?.[1];
			return hex === void 0 ? void 0 : widget.whole ? Number.parseInt(hex, 16) : `#${hex}`;
		}
		case "choice":
		case "image":
		case "file": return choices.find((choice) => String(choice) === trimmed);
		default: return;
	}
}
// src/widgets/Field.tsx
var WIDGETS = {
	number: NumberField,
	slider: NumberField,
	seed: SeedField,
	text: TextField,
	multiline: MultilineField,
	choice: ChoiceField,
	toggle: ToggleField,
	color: ColorField,
	image: FileField,
	file: FileField,
	json: JsonField
};
function Mark({ node, input }) {
	const marked = useDocument((state) => isMarked(state.workflow, node, input));
	if (!useDocument((state) => state.path.length === 0)) return null;
	return (0, import_jsx_runtime.jsx)(IconButton, {
		icon: "pin",
		size: 13,
		className: "mark nodrag",
		label: t("form.mark", { input }),
		title: t("form.mark", { input }),
		"aria-pressed": marked,
		onClick: () => editWorkflow((workflow) => toggleMark(workflow, node, input))
	});
}
function Field({ node, port, label }) {
	const id = (0, import_react.useId)();
	const value = useDocument((state) => state.graph.nodes[node]?.inputs[port.name]) ?? port.default;
	const widget = widgetOf(port.field ?? {});
	const Show = WIDGETS[widget.kind];
	const set = (next) => {
		const words = typeof next === "string" ? next.split(/\s+/).length : 0;
		edit((graph) => setValue(graph, node, port.name, next), `value ${node}.${port.name} ${words}`);
	};
	const paste = (event) => {
		if (event.target.matches("textarea, input:not([type=range], [type=checkbox], [type=color])")) return;
		const names = widget.folder ? [...widget.extra ?? [], ...choices(widget.folder) ?? []] : widget.choices;
		const pasted = readPasted(event.clipboardData.getData("text/plain"), widget, names);
		if (pasted === void 0) return;
		event.preventDefault();
		event.stopPropagation();
		set(pasted);
	};
	return (0, import_jsx_runtime.jsxs)("div", {
		className: `field ${widget.kind}`,
		title: port.description || void 0,
		onPaste: paste,
		children: [
			(0, import_jsx_runtime.jsx)("label", {
				htmlFor: id,
				title: label === void 0 ? port.name : void 0,
				children: label ?? port.name
			}),
			label === void 0 && (0, import_jsx_runtime.jsx)(Mark, {
				node,
				input: port.name
			}),
			(0, import_jsx_runtime.jsx)(Show, {
				id,
				label: label ?? port.name,
				value,
				set,
				widget,
				node,
				input: port.name
			})
		]
	});
}
// src/canvas/CardTitle.tsx
function badgeText(run) {
	if (!run) return "";
	if (run.state === "running") return run.total ? `${run.value ?? 0}/${run.total}` : "…";
	if (run.state === "cached") return t(run.reason === "frozen" ? "badge.frozen" : "badge.cached");
	if (run.state === "skipped") return t("badge.skipped");
	if (run.state === "failed") return t("badge.failed");
	return seconds(run.seconds ?? 0);
}
function badgeHint(run, id = "") {
	if (run?.state === "done") {
		const why = whyAgain(id);
		return [
			run.memory ? t("badge.took", {
				time: seconds(run.seconds ?? 0),
				memory: bytes(run.memory)
			}) : "",
			run.peak ? t("badge.peak", { memory: bytes(run.peak) }) : "",
			why.length ? t("badge.why", { names: why.join(", ") }) : ""
		].filter(Boolean).join(". ");
	}
	if (run?.state === "cached" && run.reason === "frozen") return t("badge.frozenHint", { time: clock(run.made ?? 0) });
	if (run?.state === "cached") return run.made ? t("badge.unchanged", { time: clock(run.made) }) : t("badge.unchangedBefore");
	return run?.message ?? run?.text ?? "";
}
function Badge({ id }) {
	const run = useNodeRun(id);
	const text = badgeText(run);
	return text ? (0, import_jsx_runtime.jsx)("span", {
		className: `badge ${run?.state ?? ""}`,
		title: badgeHint(run, id),
		children: text
	}) : null;
}
function Progress$1({ id }) {
	const run = useNodeRun(id);
	if (run?.state !== "running") return null;
	const part = run.total ? (run.value ?? 0) / run.total : void 0;
	return (0, import_jsx_runtime.jsx)("div", {
		className: `card-progress ${part === void 0 ? "unknown" : ""}`,
		role: "progressbar",
		"aria-label": t("card.progress"),
		"aria-valuenow": Math.round((part ?? 0) * 100),
		children: (0, import_jsx_runtime.jsx)("i", { style: { transform: `scaleX(${part ?? .3})` } })
	});
}
function Rename({ id, title }) {
	const input = (0, import_react.useRef)(null);
	(0, import_react.useEffect)(() => input.current?.select(), []);
	const done = (value) => {
		if (useView.getState().renaming !== id) return;
		useView.setState({ renaming: null });
		if (value !== null && value !== title) edit((graph) => setTitle(graph, id, value));
	};
	const key = (event) => {
		event.stopPropagation();
		if (event.key === "Enter") done(event.currentTarget.value);
		if (event.key === "Escape") done(null);
	};
	return (0, import_jsx_runtime.jsx)("input", {
		ref: input,
		className: "rename nodrag",
		"aria-label": t("card.name"),
		defaultValue: title,
		autoFocus: true,
		onKeyDown: key,
		onBlur: (event) => done(event.target.value)
	});
}
function CardTitle({ id, def }) {
	const title = useDocument((state) => state.graph.nodes[id]?.title) ?? def.title;
	const mode = useDocument((state) => state.graph.nodes[id]?.mode);
	const collapsed = useDocument((state) => Boolean(state.graph.layout[id]?.collapsed));
	const frozen = useDocument((state) => Boolean(state.graph.nodes[id]?.frozen));
	const renaming = useView((state) => state.renaming === id);
	const inner = subgraphName(def.type);
	return (0, import_jsx_runtime.jsxs)("header", {
		className: "card-title",
		onDoubleClick: () => useView.setState({ renaming: id }),
		children: [
			(0, import_jsx_runtime.jsx)(IconButton, {
				icon: collapsed ? "right" : "down",
				className: "nodrag",
				label: t(collapsed ? "card.expand" : "card.collapse"),
				"aria-expanded": !collapsed,
				onClick: () => edit((graph) => toggleCollapsed(graph, [id]))
			}),
			renaming ? (0, import_jsx_runtime.jsx)(Rename, {
				id,
				title
			}) : (0, import_jsx_runtime.jsx)("span", {
				className: "card-name",
				title: `${def.type} · ${id}`,
				children: title
			}),
			mode && (0, import_jsx_runtime.jsx)("span", {
				className: "badge mode",
				children: t(`mode.${mode}`)
			}),
			frozen && (0, import_jsx_runtime.jsx)("span", {
				className: "badge frozen",
				role: "img",
				"aria-label": t("card.frozen"),
				title: t("card.frozen"),
				children: (0, import_jsx_runtime.jsx)(Icon, {
					name: "snow",
					size: 13
				})
			}),
			(0, import_jsx_runtime.jsx)(Badge, { id }),
			inner !== null && (0, import_jsx_runtime.jsx)(IconButton, {
				icon: "enter",
				className: "nodrag",
				label: t("subgraph.enter"),
				onClick: () => enter([...current().path, id])
			}),
			(0, import_jsx_runtime.jsx)(IconButton, {
				icon: "more",
				className: "nodrag",
				label: t("card.menu"),
				"aria-haspopup": "menu",
				onClick: (event) => useView.setState({ menu: {
					screen: [event.clientX, event.clientY],
					node: id
				} })
			}),
			(0, import_jsx_runtime.jsx)(Progress$1, { id })
		]
	});
}
// src/canvas/estimate.ts
var WIDTH = 264;
var BORDER$1 = 1;
var TITLE = 37;
var [ABOVE, BELOW] = [6, 11];
var ROW = 26;
var LINKED = 32;
var FIELD = 34;
var TALLER = {
	multiline: 91,
	toggle: 30,
	file: 55,
	image: 125
};
var SOCKET = 24;
function rowsOf(def, node) {
	const ports = node ? shownPorts(def, node) : def.inputs;
	return {
		links: ports.filter((port) => !port.field),
		fields: ports.filter((port) => port.field && !port.advanced),
		advanced: ports.filter((port) => port.field && port.advanced)
	};
}
var widthOf = (box) => box?.size && !box.collapsed ? Math.min(Math.max(box.size[0], 220), 900) : void 0;
function estimate(def, node, box) {
	const width = widthOf(box) ?? WIDTH;
	const handles = [];
	const socket = (type, id, y) => {
		const [position, x] = type === "source" ? [Position.Right, width - BORDER$1] : [Position.Left, BORDER$1];
		handles.push({
			id,
			type,
			position,
			x: x - SOCKET / 2,
			y: y - SOCKET / 2,
			width: SOCKET,
			height: SOCKET
		});
	};
	const { links, fields, advanced } = rowsOf(def, node);
	const folded = box?.collapsed === true;
	let y = TITLE + ABOVE;
	links.forEach((port, row) => socket("target", port.name, folded ? y : y + (row + .5) * ROW));
	def.outputs.forEach((output, row) => socket("source", output.name, folded ? y : y + (row + .5) * ROW));
	if (!folded) y += Math.max(links.length, def.outputs.length) * ROW;
	const field = (port) => {
		const height = sourceOf(node.inputs[port.name]) ? LINKED : TALLER[widgetOf(port.field ?? {}).kind] ?? FIELD;
		socket("target", port.name, folded ? y : y + height / 2);
		if (!folded) y += height;
	};
	fields.forEach(field);
	for (const port of advanced) socket("target", port.name, folded ? y : y + ROW / 2);
	if (advanced.length && !folded) y += 27;
	return {
		measured: {
			width,
			height: y + (folded ? ABOVE + 1 : BELOW)
		},
		handles
	};
}
// src/canvas/Socket.tsx
function useFit({ node, name, type, side }) {
	return useView(({ linking }) => {
		if (!linking) return null;
		if (linking.node === node) return linking.port === name && linking.side === side;
		if (linking.side === side) return false;
		return side === "target" ? fits(linking.type, type) : fits(type, linking.type);
	});
}
var Socket = (0, import_react.memo)(function Socket(props) {
	const { name, type, side, linked, optional } = props;
	const fit = useFit(props);
	const { shape, letter } = lookOf(type);
	return (0, import_jsx_runtime.jsx)(Handle, {
		type: side,
		id: name,
		position: side === "source" ? Position.Right : Position.Left,
		role: "button",
		"aria-label": t(side === "source" ? "socket.output" : "socket.input", {
			name,
			type
		}),
		title: `${name} · ${type}`,
		className: `socket ${fit === null ? "" : fit ? "fits" : "dimmed"} ${linked ? "linked" : ""} ${optional ? "optional" : ""}`,
		children: (0, import_jsx_runtime.jsxs)("svg", {
			viewBox: "0 0 16 16",
			"aria-hidden": "true",
			style: { color: colorOf(type) },
			children: [(0, import_jsx_runtime.jsx)("path", { d: PATHS$1[shape] }), (0, import_jsx_runtime.jsx)("text", {
				x: shape === "triangle" ? 6 : 8,
				y: "11.2",
				children: letter
			})]
		})
	});
});
// src/canvas/NodeCard.tsx
var NONE = [];
function WireRow({ id, port, output, wrong }) {
	const linked = useDocument((state) => Boolean(port && sourceOf(state.graph.nodes[id]?.inputs[port.name])));
	return (0, import_jsx_runtime.jsxs)("div", {
		className: `wire-row ${wrong ? "wrong" : ""}`,
		children: [
			port && (0, import_jsx_runtime.jsxs)("span", {
				className: "wire-in",
				title: port.description,
				children: [(0, import_jsx_runtime.jsx)(Socket, {
					node: id,
					name: port.name,
					type: port.type,
					side: "target",
					linked,
					optional: !port.required
				}), port.name]
			}),
			output && (0, import_jsx_runtime.jsxs)("span", {
				className: "wire-out",
				title: output.description,
				children: [output.name, (0, import_jsx_runtime.jsx)(Socket, {
					node: id,
					name: output.name,
					type: output.type,
					side: "source"
				})]
			}),
			wrong && (0, import_jsx_runtime.jsx)("em", {
				className: "row-problem",
				children: wrong
			})
		]
	});
}
function FieldRow({ id, port, wrong }) {
	const source = useDocument((state) => sourceOf(state.graph.nodes[id]?.inputs[port.name])?.node);
	return (0, import_jsx_runtime.jsxs)("div", {
		className: `field-row ${wrong ? "wrong" : ""}`,
		"data-input": port.name,
		children: [
			(0, import_jsx_runtime.jsx)(Socket, {
				node: id,
				name: port.name,
				type: port.type,
				side: "target",
				linked: source !== void 0,
				optional: !port.required
			}),
			source !== void 0 ? (0, import_jsx_runtime.jsx)("span", {
				className: "linked-name",
				title: port.description,
				children: port.name
			}) : (0, import_jsx_runtime.jsx)(Field, {
				node: id,
				port
			}),
			wrong && (0, import_jsx_runtime.jsx)("em", {
				className: "row-problem",
				children: wrong
			})
		]
	});
}
function Body({ id, def }) {
	const problems = useProblems((state) => state.byNode.get(id)) ?? NONE;
	const wrong = (input) => {
		const problem = input === void 0 ? void 0 : problems.find((one) => one.input === input);
		return problem && explain(problem);
	};
	const { links, fields, advanced } = rowsOf(def, useDocument((state) => state.graph.nodes[id]));
	const rows = Array.from({ length: Math.max(links.length, def.outputs.length) }, (_, i) => i);
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "card-body",
		children: [
			rows.map((i) => (0, import_jsx_runtime.jsx)(WireRow, {
				id,
				port: links[i],
				output: def.outputs[i],
				wrong: wrong(links[i]?.name)
			}, i)),
			fields.map((port) => (0, import_jsx_runtime.jsx)(FieldRow, {
				id,
				port,
				wrong: wrong(port.name)
			}, port.name)),
			advanced.length > 0 && (0, import_jsx_runtime.jsxs)("details", {
				className: "advanced nodrag",
				children: [(0, import_jsx_runtime.jsx)("summary", { children: t("card.advanced") }), advanced.map((port) => (0, import_jsx_runtime.jsx)(FieldRow, {
					id,
					port,
					wrong: wrong(port.name)
				}, port.name))]
			}),
			problems.filter((one) => one.input === null).map((one) => (0, import_jsx_runtime.jsx)("p", {
				className: "card-problem",
				children: explain(one)
			}, one.code)),
			(0, import_jsx_runtime.jsx)(Results, { id })
		]
	});
}
function Stack({ id, def }) {
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "card-stack",
		children: [def.inputs.map((port) => (0, import_jsx_runtime.jsx)(Socket, {
			node: id,
			name: port.name,
			type: port.type,
			side: "target"
		}, port.name)), def.outputs.map((port) => (0, import_jsx_runtime.jsx)(Socket, {
			node: id,
			name: port.name,
			type: port.type,
			side: "source"
		}, port.name))]
	});
}
function Card({ id, selected }) {
	const def = useDefinition(id);
	const mode = useDocument((state) => state.graph.nodes[id]?.mode);
	const collapsed = useDocument((state) => state.graph.layout[id]?.collapsed);
	const title = useDocument((state) => state.graph.nodes[id]?.title);
	const frozen = useDocument((state) => Boolean(state.graph.nodes[id]?.frozen));
	const color = useDocument((state) => state.graph.layout[id]?.color);
	const state = useNodeRun(id)?.state;
	const mark = useView((view) => view.marks[id]);
	const broken = useProblems((problems) => problems.byNode.has(id));
	const farHeight = useFarHeight(id);
	if (!def) return null;
	const far = farHeight > 0 && !collapsed;
	const classes = [
		"card",
		mode ?? "",
		state ?? "",
		frozen ? "frozen" : "",
		mark ? `mark-${mark}` : "",
		selected ? "selected" : "",
		def.unknown ? "unknown" : "",
		broken ? "broken" : "",
		far ? "far" : ""
	];
	return (0, import_jsx_runtime.jsxs)("article", {
		"aria-label": title || def.title,
		className: classes.filter(Boolean).join(" "),
		"data-tint": color,
		"data-state": state,
		style: far ? { minHeight: farHeight } : void 0,
		children: [far ? (0, import_jsx_runtime.jsx)(FarCard, {
			id,
			def,
			title: title || def.title
		}) : (0, import_jsx_runtime.jsx)(CardTitle, {
			id,
			def
		}), !far && (collapsed ? (0, import_jsx_runtime.jsx)(Stack, {
			id,
			def
		}) : (0, import_jsx_runtime.jsx)(Body, {
			id,
			def
		}))]
	});
}
var NodeCard = (0, import_react.memo)(Card, (before, after) => before.id === after.id && before.selected === after.selected);
// src/graph/connect.ts
function refusal(defs, workflow, graph, link) {
	const source = graph.nodes[link.node];
	const target = graph.nodes[link.target];
	if (!source || !target) return ["refused.gone", {}];
	if (link.node === link.target) return ["refused.self", {}];
	const from = outputOf(definitionOf(defs, workflow, link.node, source, graph), link.output);
	const to = definitionOf(defs, workflow, link.target, target, graph).inputs.find((port) => port.name === link.input);
	if (!from || !to) return ["refused.gone", {}];
	if (!fits(from.type, to.type)) return ["refused.type", {
		from: from.type,
		to: to.type,
		input: to.name
	}];
	if (ancestors(graph, [link.node]).has(link.target)) return ["refused.cycle", {}];
	return null;
}
function fittingPort(def, loose) {
	const fitting = (loose.side === "source" ? def.inputs : def.outputs).filter((port) => loose.side === "source" ? fits(loose.type, port.type) : fits(port.type, loose.type));
	return fitting.find((port) => port.type === loose.type) ?? fitting[0];
}
function join(graph, loose, node, port) {
	return loose.side === "source" ? connect(graph, loose.node, loose.port, node, port) : connect(graph, node, port, loose.node, loose.port);
}
function proposal(loose, node, port) {
	return loose.side === "source" ? {
		node: loose.node,
		output: loose.port,
		target: node,
		input: port
	} : {
		node,
		output: port,
		target: loose.node,
		input: loose.port
	};
}
function openPlaces(defs, workflow, graph, loose) {
	return Object.entries(graph.nodes).flatMap(([id, node]) => {
		const def = definitionOf(defs, workflow, id, node, graph);
		return (loose.side === "source" ? def.inputs : def.outputs).filter((port) => !refusal(defs, workflow, graph, proposal(loose, id, port.name))).map((port) => ({
			node: id,
			port: port.name
		}));
	});
}
function insertInto(defs, workflow, graph, id, link) {
	const [node, source, target] = [
		graph.nodes[id],
		graph.nodes[link.node],
		graph.nodes[link.target]
	];
	if (!node || !source || !target || id === link.node || id === link.target) return null;
	const def = definitionOf(defs, workflow, id, node, graph);
	const from = outputOf(definitionOf(defs, workflow, link.node, source, graph), link.output);
	const to = definitionOf(defs, workflow, link.target, target, graph).inputs.find((port) => port.name === link.input);
	const input = from && def.inputs.find((port) => port.type !== "*" && fits(from.type, port.type));
	const output = to && def.outputs.find((port) => fits(port.type, to.type));
	if (!input || !output) return null;
	const first = connect(graph, link.node, link.output, id, input.name);
	return refusal(defs, workflow, first, {
		node: id,
		output: output.name,
		target: link.target,
		input: link.input
	}) ? null : connect(first, id, output.name, link.target, link.input);
}
// src/canvas/gestures.ts
var toProposal = (ends) => ({
	node: ends.source,
	output: ends.sourceHandle ?? "",
	target: ends.target,
	input: ends.targetHandle ?? ""
});
function whyNot(link) {
	const { workflow, graph } = current();
	return refusal(useSchema.getState().definitions, workflow, graph, link);
}
var mayConnect = (ends) => whyNot(toProposal(ends)) === null;
function tryConnect(link, moved) {
	const why = whyNot(link);
	if (why) return say(t(...why));
	edit((graph) => connect(moved ? unlink(graph, moved) : graph, link.node, link.output, link.target, link.input));
}
var unlink = (graph, edge) => disconnect(graph, edge.target, edge.targetHandle ?? "");
var connectEnds = (ends) => tryConnect(toProposal(ends));
function looseEnd(node, port, side) {
	const def = definitionIn(node);
	const type = side === "source" ? def && outputOf(def, port)?.type : def?.inputs.find((one) => one.name === port)?.type;
	return type === void 0 ? null : {
		node,
		port,
		side,
		type
	};
}
var pointerOf = (event) => {
	const point = "changedTouches" in event ? event.changedTouches[0] : event;
	return [point?.clientX ?? 0, point?.clientY ?? 0];
};
function dropLink(event, state, loose) {
	if (!loose || state.isValid) return;
	const [x, y] = pointerOf(event);
	const over = state.toHandle;
	if (over?.id && over.type !== loose.side) return tryConnect(proposal(loose, over.nodeId, over.id));
	if (over?.id) return say(t(loose.side === "source" ? "refused.bothOutputs" : "refused.bothInputs"));
	const card = document.elementFromPoint(x, y)?.closest(".react-flow__node-card")?.dataset.id;
	const def = card === void 0 ? void 0 : definitionIn(card);
	if (card === (loose.side === "target" ? "$inputs" : "$outputs")) return edit((graph) => promote(graph, loose));
	if (card !== void 0 && def) {
		const port = card === loose.node ? void 0 : fittingPort(def, loose);
		if (port) tryConnect(proposal(loose, card, port.name));
		else if (card !== loose.node) say(t("refused.nothingFits", {
			type: loose.type,
			title: def.title
		}));
		return;
	}
	openPalette([x, y], loose);
}
var rest = null;
var noteRest = (at) => {
	rest = at;
};
var openPaletteHere = () => openPalette(rest ?? [innerWidth / 2 - 180, innerHeight / 4]);
function openPalette(screen, loose = null) {
	useView.setState({
		palette: {
			screen,
			at: inGraph(screen),
			loose
		},
		menu: null
	});
}
function dropReconnected(edge, event, state) {
	if (state.isValid || document.elementFromPoint(...pointerOf(event))?.closest(".react-flow__node")) return;
	edit((graph) => unlink(graph, edge));
}
var reconnect = (edge, ends) => tryConnect(toProposal(ends), edge);
function takeNodeChanges(changes) {
	const measured = new Set(changes.flatMap((change) => change.type === "dimensions" ? [change.id] : []));
	useView.setState((view) => {
		const nodes = applyNodeChanges(changes, view.nodes);
		for (const node of nodes) if (node.handles && measured.has(node.id)) delete node.handles;
		return { nodes };
	});
}
function takeEdgeChanges(changes) {
	useView.setState((view) => ({ edges: applyEdgeChanges(changes.filter((change) => change.type !== "remove"), view.edges) }));
}
var carried = new Map();
var carrier = null;
function startDrag(node) {
	carrier = null;
	if (!isFrame(node.id)) return;
	const { graph } = current();
	const group = graph.groups?.[frameIndex(node.id)];
	if (!group) return;
	carrier = {
		id: node.id,
		from: [node.position.x, node.position.y]
	};
	carried = new Map(membersOf(graph, group, sizes()).map((id) => [id, graph.layout[id]?.position ?? [0, 0]]));
}
function whileDragging(node) {
	if (carrier?.id !== node.id) return;
	const [dx, dy] = [node.position.x - carrier.from[0], node.position.y - carrier.from[1]];
	useView.setState((view) => ({ nodes: view.nodes.map((one) => {
		const start = carried.get(one.id);
		return start ? {
			...one,
			position: {
				x: start[0] + dx,
				y: start[1] + dy
			}
		} : one;
	}) }));
}
function endDrag(event, dragged) {
	const moved = new Map();
	const frames = dragged.filter((node) => isFrame(node.id));
	for (const node of useView.getState().nodes) if (dragged.some((one) => one.id === node.id) || carrier && carried.has(node.id)) moved.set(node.id, [node.position.x, node.position.y]);
	carrier = null;
	const only = dragged.length === 1 ? dragged[0] : void 0;
	const link = only && !isFrame(only.id) ? linkUnder(event, only.id) : null;
	edit((graph) => {
		const cards = new Map([...moved].filter(([id, [x, y]]) => {
			const before = graph.layout[id]?.position;
			return !isFrame(id) && (before?.[0] !== x || before[1] !== y);
		}));
		if (!cards.size && !frames.length) return graph;
		const placed = frames.reduce((next, node) => {
			const bounds = next.groups?.[frameIndex(node.id)]?.bounds;
			return bounds ? changeFrame(next, frameIndex(node.id), { bounds: [
				Math.round(node.position.x),
				Math.round(node.position.y),
				bounds[2],
				bounds[3]
			] }) : next;
		}, move(graph, cards));
		return link && only && insertInto(useSchema.getState().definitions, current().workflow, placed, only.id, link) || placed;
	});
}
function linkUnder(event, id) {
	if (wires(current().graph).some((wire) => wire.node === id || wire.target === id)) return null;
	const box = document.querySelector(`.react-flow__node[data-id="${CSS.escape(id)}"]`)?.getBoundingClientRect();
	const points = [pointerOf(event), ...box ? [[box.x + box.width / 2, box.y + box.height / 2]] : []];
	for (const [x, y] of points) for (const element of document.elementsFromPoint(x, y)) {
		const edge = element.closest(".react-flow__edge")?.dataset.id;
		const wire = edge && wires(current().graph).find((one) => `${one.target}:${one.input}` === edge);
		if (wire) return wire;
	}
	return null;
}
// src/canvas/Overview.tsx
var REDRAW_MS = 100;
var box = (x, y, width, height) => `M${x},${y}h${width}v${height}h${-width}z`;
function drawing(nodes) {
	const paths = {
		cards: "",
		frames: ""
	};
	let [left, top, right, bottom] = [
		Infinity,
		Infinity,
		-Infinity,
		-Infinity
	];
	for (const node of nodes) {
		const { id, position: { x, y }, measured } = node;
		const [width, height] = [measured?.width ?? node.width ?? 0, measured?.height ?? node.height ?? 0];
		paths[isFrame(id) ? "frames" : "cards"] += box(Math.round(x), Math.round(y), width, height);
		[left, top, right, bottom] = [
			Math.min(left, x),
			Math.min(top, y),
			Math.max(right, x + width),
			Math.max(bottom, y + height)
		];
	}
	return {
		...paths,
		left,
		top,
		right,
		bottom
	};
}
function useDrawing() {
	const [drawn, setDrawn] = (0, import_react.useState)(() => drawing(useView.getState().nodes));
	(0, import_react.useEffect)(() => {
		let timer;
		const redraw = () => {
			timer = void 0;
			setDrawn(drawing(useView.getState().nodes));
		};
		redraw();
		const stop = useView.subscribe((view, before) => {
			if (view.nodes !== before.nodes) timer ??= setTimeout(redraw, REDRAW_MS);
		});
		return () => {
			stop();
			clearTimeout(timer);
		};
	}, []);
	return drawn;
}
function Overview() {
	const drawn = useDrawing();
	const flow = useReactFlow();
	const [x, y, zoom] = useStore((state) => state.transform);
	const [width, height] = [useStore((state) => state.width) / zoom, useStore((state) => state.height) / zoom];
	const toGraph = (0, import_react.useRef)(void 0);
	const [seenX, seenY] = [-x / zoom, -y / zoom];
	const [left, top] = [Math.min(drawn.left, seenX), Math.min(drawn.top, seenY)];
	const [right, bottom] = [Math.max(drawn.right, seenX + width), Math.max(drawn.bottom, seenY + height)];
	const [seen, span] = [box(seenX, seenY, width, height), 9 * Math.max(right - left, bottom - top)];
	const go = (event) => {
		const point = toGraph.current && new DOMPoint(event.clientX, event.clientY).matrixTransform(toGraph.current);
		if (point) flow.setCenter(point.x, point.y, { zoom });
	};
	const press = (event) => {
		toGraph.current = event.currentTarget.getScreenCTM()?.inverse();
		event.currentTarget.setPointerCapture(event.pointerId);
		go(event);
	};
	return (0, import_jsx_runtime.jsx)(Panel, {
		position: "bottom-right",
		className: "overview",
		children: (0, import_jsx_runtime.jsxs)("svg", {
			viewBox: `${left} ${top} ${right - left} ${bottom - top}`,
			role: "img",
			"aria-label": t("canvas.minimap"),
			onPointerDown: press,
			onPointerMove: go,
			onPointerUp: () => {
				toGraph.current = void 0;
			},
			onWheel: (event) => void flow.zoomTo(zoom * 2 ** (-event.deltaY / 500)),
			children: [
				(0, import_jsx_runtime.jsx)("path", {
					className: "overview-frames",
					d: drawn.frames
				}),
				(0, import_jsx_runtime.jsx)("path", {
					className: "overview-cards",
					d: drawn.cards
				}),
				(0, import_jsx_runtime.jsx)("path", {
					className: "overview-rest",
					fillRule: "evenodd",
					d: box(seenX - span, seenY - span, 2 * span, 2 * span) + seen
				})
			]
		})
	});
}
function touched(before, after) {
	if (before?.defs !== after.defs || before.workflow.subgraphs !== after.workflow.subgraphs || before.graph.groups !== after.graph.groups) return null;
	const ids = Object.keys(after.graph.nodes);
	if (ids.length !== Object.keys(before.graph.nodes).length) return null;
	const found = new Set();
	for (const id of ids) {
		const node = before.graph.nodes[id];
		if (!node) return null;
		if (node !== after.graph.nodes[id] || before.graph.layout[id] !== after.graph.layout[id]) found.add(id);
	}
	return found;
}
function card({ defs, workflow, graph }, id, before, large) {
	const [node, box] = [graph.nodes[id], graph.layout[id]];
	const type = node?.type ?? "";
	const old = before?.type === "card" && before.data.type === type ? before : void 0;
	const [x, y] = box?.position ?? [0, 0];
	const width = widthOf(box);
	if (old?.position.x === x && old.position.y === y && old.style?.width === width) return old;
	const place = {
		position: {
			x,
			y
		},
		style: width === void 0 ? {} : { width }
	};
	if (old) return {
		...old,
		...place
	};
	const told = large && node ? estimate(definitionOf(defs, workflow, id, node, graph), node, box) : {};
	return {
		id,
		type: "card",
		data: { type },
		dragHandle: ".card-title",
		selected: before?.selected ?? false,
		...told,
		...place
	};
}
function frame$1(index, graph, before) {
	const [x, y, width, height] = graph.groups?.[index]?.bounds ?? [
		0,
		0,
		0,
		0
	];
	if (before?.type === "frame" && before.position.x === x && before.position.y === y && before.width === width && before.height === height) return before;
	return {
		...before?.type === "frame" ? before : {
			id: `frame:${index}`,
			type: "frame",
			data: { index },
			dragHandle: ".frame-title",
			zIndex: -2e3
		},
		position: {
			x,
			y
		},
		width,
		height
	};
}
var sameOr = (before, after) => before.length === after.length && after.every((one, index) => one === before[index]) ? before : after;
function projectNodes(scene, before, only = null) {
	if (only) return sameOr(before, before.map((node) => only.has(node.id) ? card(scene, node.id, node, before.length > 60) : node));
	const known = new Map(before.map((node) => [node.id, node]));
	const ids = Object.keys(scene.graph.nodes);
	return sameOr(before, [...(scene.graph.groups ?? []).map((_, index) => frame$1(index, scene.graph, known.get(`frame:${index}`))), ...ids.map((id) => card(scene, id, known.get(id), ids.length > 60))]);
}
var edgeId = (wire) => `${wire.target}:${wire.input}`;
function edge({ defs, workflow, graph }, wire, old) {
	const node = graph.nodes[wire.node];
	if (!node) return null;
	const output = outputOf(definitionOf(defs, workflow, wire.node, node, graph), wire.output);
	const bends = graph.layout[wire.target]?.bends?.[wire.input];
	const [sourceHandle, type] = [output?.name ?? wire.output, output?.type ?? "*"];
	if (old && old.source === wire.node && old.sourceHandle === sourceHandle && old.data?.type === type && old.data.bends === bends) return old;
	return {
		id: edgeId(wire),
		type: "wire",
		source: wire.node,
		sourceHandle,
		target: wire.target,
		targetHandle: wire.input,
		data: {
			type,
			bends
		},
		selected: old?.selected ?? false
	};
}
function upToDate(scene, edges, only) {
	const near = edges.filter((one) => only.has(one.target) || only.has(one.source));
	const known = new Map(near.map((one) => [one.id, one]));
	const targets = new Set([...only, ...near.map((one) => one.target)]);
	let [left, same] = [near.length, true];
	for (const target of targets) {
		const node = scene.graph.nodes[target];
		for (const source of node ? sources(node) : []) {
			if (!only.has(target) && !only.has(source.node)) continue;
			const wire = {
				...source,
				target
			};
			const old = known.get(edgeId(wire));
			same &&= edge(scene, wire, old) === (old ?? null);
			left -= old ? 1 : 0;
		}
	}
	return same && left === 0;
}
function projectEdges(scene, before, only = null) {
	if (only && upToDate(scene, before, only)) return before;
	const known = new Map(before.map((one) => [one.id, one]));
	return sameOr(before, wires(scene.graph).flatMap((wire) => edge(scene, wire, known.get(edgeId(wire))) ?? []));
}
function startProjection() {
	let drawn = null;
	const project = () => {
		const { graph, workflow } = current();
		const scene = {
			defs: useSchema.getState().definitions,
			workflow,
			graph
		};
		const only = touched(drawn, scene);
		drawn = scene;
		const view = useView.getState();
		const [nodes, edges] = [projectNodes(scene, view.nodes, only), projectEdges(scene, view.edges, only)];
		if (nodes !== view.nodes || edges !== view.edges) useView.setState({
			nodes,
			edges
		});
	};
	useDocument.subscribe((state, before) => {
		if (state.graph === before.graph) return;
		if (state.opened !== before.opened) {
			drawn = null;
			useView.setState({
				nodes: [],
				edges: []
			});
		}
		project();
	});
	useSchema.subscribe((state, before) => state.definitions !== before.definitions && project());
}
// src/canvas/ViewTools.tsx
function ViewTools() {
	const zoom = useStore((state) => Math.round(state.transform[2] * 100));
	const snap = useView((view) => view.snap);
	const path = useDocument((state) => state.path);
	const workflow = useDocument((state) => state.workflow);
	const names = namesAlong(workflow, path);
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsxs)(Panel, {
		position: "bottom-left",
		className: "view-tools",
		children: [
			(0, import_jsx_runtime.jsx)(IconButton, {
				icon: "minus",
				label: t("view.zoomOut"),
				title: t("view.zoomOut"),
				onClick: zoomOut
			}),
			(0, import_jsx_runtime.jsxs)("button", {
				type: "button",
				className: "ghost zoom",
				"aria-label": t("view.actualSize", { zoom }),
				title: t("do.actualSize"),
				onClick: actualSize,
				children: [zoom, " %"]
			}),
			(0, import_jsx_runtime.jsx)(IconButton, {
				icon: "plus",
				label: t("view.zoomIn"),
				title: t("view.zoomIn"),
				onClick: zoomIn
			}),
			(0, import_jsx_runtime.jsx)(IconButton, {
				icon: "fit",
				label: t("view.fit"),
				title: t("view.fit"),
				onClick: fitAll
			}),
			(0, import_jsx_runtime.jsx)(IconButton, {
				icon: "grid",
				label: t("view.snap"),
				title: t("view.snap"),
				"aria-pressed": snap,
				onClick: toggleSnap
			})
		]
	}), path.length > 0 && (0, import_jsx_runtime.jsx)(Panel, {
		position: "top-left",
		className: "breadcrumbs",
		children: (0, import_jsx_runtime.jsxs)("nav", {
			"aria-label": t("subgraph.path"),
			children: [(0, import_jsx_runtime.jsx)("button", {
				type: "button",
				onClick: () => enter([]),
				children: workflow.name || t("file.untitled")
			}), path.map((part, index) => (0, import_jsx_runtime.jsx)("button", {
				type: "button",
				"aria-current": index === path.length - 1 ? "page" : void 0,
				onClick: () => enter(path.slice(0, index + 1)),
				children: names[index] ?? part
			}, index))]
		})
	})] });
}
// src/canvas/Canvas.tsx
var NODE_TYPES = {
	card: NodeCard,
	frame: FrameCard
};
var EDGE_TYPES = { wire: Link };
var GRID = [8, 8];
var MULTI = [
	"Shift",
	"Meta",
	"Control"
];
function Fit() {
	const opened = useDocument((state) => state.opened);
	const ready = useNodesInitialized();
	(0, import_react.useEffect)(() => {
		const { flow, nodes, fitted } = useView.getState();
		const done = () => useView.setState({ fitted: opened });
		if (fitted === opened) return;
		if (nodes.length === 0) done();
		else if (ready && flow) showOpened().then(done);
	}, [ready, opened]);
	return null;
}
function Far() {
	const far = useStore((state) => state.transform[2] < FAR);
	(0, import_react.useEffect)(() => useView.setState({ far }), [far]);
	return null;
}
function Ghosts() {
	const ghosts = useView((view) => view.ghosts);
	return (0, import_jsx_runtime.jsx)(ViewportPortal, { children: ghosts.map(({ id, title, position: [x, y] }) => (0, import_jsx_runtime.jsx)("del", {
		className: "ghost-card",
		style: { transform: `translate(${x}px, ${y}px)` },
		children: title
	}, id)) });
}
function Welcome() {
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "welcome",
		children: [
			(0, import_jsx_runtime.jsx)("h2", { children: t("welcome.title") }),
			(0, import_jsx_runtime.jsx)("p", { children: t("welcome.text") }),
			(0, import_jsx_runtime.jsxs)("p", {
				className: "buttons",
				children: [(0, import_jsx_runtime.jsx)("button", {
					type: "button",
					className: "primary",
					onClick: () => show({ kind: "library" }),
					children: t("welcome.template")
				}), (0, import_jsx_runtime.jsx)("button", {
					type: "button",
					onClick: () => openPalette([innerWidth / 2 - 180, innerHeight / 3]),
					children: t("welcome.add")
				})]
			})
		]
	});
}
function openAtPointer(event) {
	if (event.target.classList.contains("react-flow__pane")) openPalette([event.clientX, event.clientY]);
}
function drop(event) {
	event.preventDefault();
	openFiles(event.dataTransfer, inGraph([event.clientX, event.clientY]));
}
function Canvas() {
	const nodes = useView((view) => view.nodes);
	const edges = useView((view) => view.edges);
	const snap = useView((view) => view.snap);
	const fitted = useView((view) => view.fitted);
	const opened = useDocument((state) => state.opened);
	const locked = useDocument((state) => state.locked);
	const reconnecting = (0, import_react.useRef)(null);
	const area = (0, import_react.useRef)(null);
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "canvas",
		ref: area,
		role: "region",
		tabIndex: -1,
		"aria-label": t("canvas.label"),
		"aria-busy": fitted !== opened,
		onDoubleClick: openAtPointer,
		onDrop: drop,
		onDragOver: (event) => event.preventDefault(),
		children: [(0, import_jsx_runtime.jsxs)(index, {
			nodes,
			edges,
			nodeTypes: NODE_TYPES,
			edgeTypes: EDGE_TYPES,
			onNodesChange: takeNodeChanges,
			onEdgesChange: takeEdgeChanges,
			onInit: (flow) => useView.setState({ flow }),
			nodesDraggable: !locked,
			nodesConnectable: !locked,
			edgesReconnectable: !locked,
			isValidConnection: mayConnect,
			onConnect: connectEnds,
			onConnectStart: (_, { nodeId, handleId, handleType }) => useView.setState({
				linking: looseEnd(nodeId ?? "", handleId ?? "", handleType ?? "source"),
				palette: null
			}),
			onConnectEnd: (event, state) => {
				const { linking } = useView.getState();
				useView.setState({ linking: null });
				if (reconnecting.current) dropReconnected(reconnecting.current, event, state);
				else dropLink(event, state, linking);
			},
			onReconnectStart: (_, edge) => {
				reconnecting.current = edge;
			},
			onReconnect: reconnect,
			onReconnectEnd: () => {
				reconnecting.current = null;
				useView.setState({ linking: null });
			},
			onNodeDragStart: (_, node) => startDrag(node),
			onNodeDrag: (_, node) => whileDragging(node),
			onNodeDragStop: (event, _, dragged) => endDrag(event, dragged),
			onEdgeDoubleClick: (event, edge) => addBend(edge.id, inGraph([event.clientX, event.clientY])),
			onNodeContextMenu: (event, node) => {
				event.preventDefault();
				if (node.type === "card") useView.setState({ menu: {
					screen: [event.clientX, event.clientY],
					node: node.id
				} });
			},
			onPaneClick: () => {
				useView.setState({
					palette: null,
					menu: null
				});
				area.current?.focus({ preventScroll: true });
			},
			onPaneMouseMove: (event) => noteRest([event.clientX, event.clientY]),
			onPaneMouseLeave: () => useView.getState().palette === null && noteRest(null),
			deleteKeyCode: null,
			disableKeyboardA11y: true,
			selectionMode: SelectionMode.Partial,
			multiSelectionKeyCode: MULTI,
			selectionKeyCode: "Shift",
			zoomOnDoubleClick: false,
			snapToGrid: snap,
			snapGrid: GRID,
			minZoom: .05,
			maxZoom: 2.5,
			connectionRadius: 26,
			edgesFocusable: false,
			onlyRenderVisibleElements: nodes.length > 60,
			elevateNodesOnSelect: true,
			children: [
				(0, import_jsx_runtime.jsx)(Background, {
					variant: BackgroundVariant.Dots,
					gap: 24,
					size: 1.2
				}),
				(0, import_jsx_runtime.jsx)(Overview, {}),
				(0, import_jsx_runtime.jsx)(ViewTools, {}),
				(0, import_jsx_runtime.jsx)(Ghosts, {}),
				(0, import_jsx_runtime.jsx)(Fit, {}),
				(0, import_jsx_runtime.jsx)(Far, {})
			]
		}), nodes.length === 0 && (0, import_jsx_runtime.jsx)(Welcome, {})]
	});
}
// src/later.ts
var load = () => __vitePreload(() => import("./more.js"), __vite__mapDeps([2,1,3]), import.meta.url);
var FormView = (0, import_react.lazy)(() => load().then((more) => ({ default: more.FormView })));
var Overlays = (0, import_react.lazy)(() => load().then((more) => ({ default: more.Overlays })));
var PanelBody = (0, import_react.lazy)(() => load().then((more) => ({ default: more.PanelBody })));
// src/graph/clipboard.ts
function copy(graph, ids) {
	const inside = ids.filter((id) => graph.nodes[id] && !id.startsWith("$"));
	return writeJson({
		graphflow: 1,
		part: true,
		nodes: Object.fromEntries(inside.map((id) => [id, graph.nodes[id]])),
		layout: Object.fromEntries(inside.map((id) => [id, boxOf(graph, id)]))
	});
}
function readPart(text) {
	try {
		const json = parseJson(text);
		return isRecord(json) && json.graphflow === 1 ? clean(json) : null;
	} catch {
		return null;
	}
}
function paste(graph, part, at, keepLinks = false) {
	const [left, top] = cornerOf(Object.keys(part.nodes).map((id) => boxOf(part, id).position));
	const renamed = new Map();
	const taken = { ...graph.nodes };
	for (const [id, node] of Object.entries(part.nodes)) {
		const fresh = freshId(taken, /^[\w.:-]+$/.test(id) ? id : node.type);
		taken[fresh] = true;
		renamed.set(id, fresh);
	}
	const nodes = { ...graph.nodes };
	const layout = { ...graph.layout };
	const strangers = [];
	for (const [id, node] of Object.entries(part.nodes)) {
		const fresh = renamed.get(id);
		const inputs = {};
		for (const [name, value] of Object.entries(node.inputs)) {
			const source = sourceOf(value);
			const inner = source && renamed.get(source.node);
			inputs[name] = source && inner ? linkTo(inner, source.output) : value;
			if (source && !inner && !(keepLinks && graph.nodes[source.node])) strangers.push([fresh, name]);
		}
		const box = boxOf(part, id);
		nodes[fresh] = {
			...node,
			inputs
		};
		layout[fresh] = {
			...box,
			position: [Math.round(at[0] + box.position[0] - left), Math.round(at[1] + box.position[1] - top)]
		};
	}
	return {
		graph: strangers.reduce((next, [id, name]) => disconnect(next, id, name), {
			...graph,
			nodes,
			layout
		}),
		ids: [...renamed.values()]
	};
}
// src/actions/freeze.ts
function candidates() {
	const { jobs, shown } = useRun.getState();
	const newest = Object.values(jobs).filter((job) => job.status === "done" && job.client === useSession.getState().draft).sort((a, b) => b.created - a.created).map((job) => job.id);
	return [...new Set(shown === null ? newest : [shown, ...newest])].slice(0, 5);
}
async function keep(node) {
	let problem = new Error(t("freeze.runFirst"));
	for (const job of candidates()) try {
		return (await call(`v1/jobs/${job}/freeze`, { json: { node } })).key;
	} catch (error) {
		problem = error;
	}
	throw problem;
}
async function toggleFrozen(ids) {
	const { graph, path } = current();
	const thaws = ids.every((id) => graph.nodes[id]?.frozen);
	if (!thaws && ids.some((id) => subgraphName(graph.nodes[id]?.type ?? "") !== null)) return say(t("freeze.notSubgraph"));
	const keys = new Map();
	try {
		for (const id of ids) keys.set(id, thaws ? void 0 : graph.nodes[id]?.frozen ?? await keep(runId(path, id)));
	} catch (error) {
		return sayError(error);
	}
	edit((now) => setFrozen(now, keys));
	say(thaws ? t("freeze.thawed") : count(ids.length, "freeze.one", "freeze.many"));
}
// src/actions/edit.ts
var BORDER = new Set([INPUTS, OUTPUTS]);
var movable = () => selection().filter((id) => !BORDER.has(id));
var ifAny = (change) => () => {
	const ids = movable();
	if (ids.length) change(ids);
};
function addAt(def, at, loose) {
	let added = "";
	edit((graph) => {
		const { graph: next, id } = addNode(graph, def, [Math.round(at[0] / 8) * 8, Math.round(at[1] / 8) * 8]);
		added = id;
		const port = loose && fittingPort(def, loose);
		return loose && port ? join(next, loose, id, port.name) : next;
	});
	select([added]);
}
function removeSelected() {
	const [ids, frames, wires] = [
		movable(),
		selectedFrames(),
		useView.getState().edges.filter((edge) => edge.selected)
	];
	if (!ids.length && !frames.length && !wires.length) return;
	edit((graph) => {
		const unlinked = wires.reduce((next, edge) => disconnect(next, edge.target, edge.targetHandle ?? ""), graph);
		return remove(frames.length ? removeFrames(unlinked, frames) : unlinked, ids);
	});
}
var copied = () => movable().length ? copy(current().graph, movable()) : null;
function middle() {
	const box = document.querySelector(".canvas")?.getBoundingClientRect();
	return inGraph([(box?.x ?? 0) + (box?.width ?? 0) / 2 - 130, (box?.y ?? 0) + (box?.height ?? 0) / 3]);
}
function pasteText(text, keepLinks, at = middle()) {
	const part = readPart(text);
	if (!part || !Object.keys(part.nodes).length) return false;
	let added = [];
	edit((graph) => {
		const next = paste(graph, part, at, keepLinks);
		added = next.ids;
		return next.graph;
	});
	select(added);
	return true;
}
var duplicate = ifAny((ids) => {
	const part = readPart(copy(current().graph, ids));
	const [left, top] = cornerOf(ids.map((id) => boxOf(current().graph, id).position));
	if (part) pasteText(copy(part, ids), true, [left + 40, top + 40]);
});
var bypass = ifAny((ids) => edit((graph) => toggleMode(graph, ids, "bypass")));
var mute = ifAny((ids) => edit((graph) => toggleMode(graph, ids, "mute")));
var freeze = ifAny((ids) => void toggleFrozen(ids));
var collapse = ifAny((ids) => edit((graph) => toggleCollapsed(graph, ids)));
var tint = (color) => ifAny((ids) => edit((graph) => setColor(graph, ids, color || void 0)))();
var rename = ifAny(([id]) => useView.setState({ renaming: id ?? null }));
var frame = ifAny((ids) => edit((graph) => addFrame(graph, ids, sizes(), t("frame.new"))));
var replace = ifAny(([id]) => useView.setState({ dialog: {
	kind: "replace",
	node: id ?? ""
} }));
var connectFrom = ifAny(([id]) => useView.setState({ dialog: {
	kind: "connect",
	node: id ?? ""
} }));
function nudge(dx, dy) {
	const ids = selection();
	if (!ids.length) return;
	edit((graph) => {
		const moved = ids.map((id) => {
			const [x, y] = boxOf(graph, id).position;
			return [id, [x + dx, y + dy]];
		});
		return move(graph, new Map(moved));
	}, "nudge");
}
async function arrange() {
	const { graph } = current();
	const chosen = selection();
	const ids = chosen.length > 1 ? chosen : Object.keys(graph.nodes);
	if (!ids.length) return;
	const positions = await arranged(graph, ids, sizes());
	edit((next) => move(next, positions));
	if (chosen.length < 2) requestAnimationFrame(() => void useView.getState().flow?.fitView({
		padding: .1,
		maxZoom: 1,
		duration: 200
	}));
}
var subgraph = ifAny((ids) => {
	let made = "";
	editWorkflow((workflow) => {
		const next = makeSubgraph(useSchema.getState().definitions, workflow, current().path, ids, t("subgraph.new"));
		made = next.id;
		return next.workflow;
	});
	select([made]);
});
var unpackSelected = ifAny((ids) => editWorkflow((workflow) => ids.reduce((next, id) => unpack(next, current().path, id), workflow)));
// src/graph/find.ts
function titleOf(defs, workflow, graph, id) {
	const node = graph.nodes[id];
	return node ? node.title || definitionOf(defs, workflow, id, node, graph).title : id;
}
function find(defs, workflow, graph, query) {
	const wanted = query.trim().toLowerCase();
	return Object.entries(graph.nodes).flatMap(([id, node]) => {
		const title = titleOf(defs, workflow, graph, id);
		if (!wanted || [
			title,
			id,
			node.type
		].some((text) => text.toLowerCase().includes(wanted))) return [{
			node: id,
			title,
			where: ""
		}];
		const value = Object.entries(node.inputs).find(([, literal]) => !sourceOf(literal) && typeof literal !== "object" && String(literal).toLowerCase().includes(wanted));
		return value ? [{
			node: id,
			title,
			where: `${value[0]}: ${String(value[1]).slice(0, 80)}`
		}] : [];
	});
}
function score(query, ...texts) {
	const words = query.toLowerCase().split(/\s+/).filter(Boolean);
	if (!words.length) return 1;
	let total = 0;
	for (const word of words) {
		const best = Math.max(...texts.map((text, index) => one(word, text) / (index + 1)));
		if (best === 0) return 0;
		total += best;
	}
	return total;
}
function one(word, text) {
	const lower = text.toLowerCase();
	const initials = text.replace(/[^A-Z]/g, "").toLowerCase();
	if (lower === word) return 10;
	if (lower.startsWith(word)) return 8;
	if (lower.split(/[^a-z0-9]+/).some((part) => part.startsWith(word))) return 6;
	if (initials.startsWith(word)) return 5;
	return lower.includes(word) ? 4 : 0;
}
// src/panels/Picker.tsx
var MOST = 80;
function Picker({ label, search, choose }) {
	const [query, setQuery] = (0, import_react.useState)("");
	const [at, setAt] = (0, import_react.useState)(0);
	const id = (0, import_react.useId)();
	const list = (0, import_react.useRef)(null);
	const found = search(query).slice(0, MOST);
	const chosen = found[Math.min(at, found.length - 1)];
	(0, import_react.useEffect)(() => void list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [at, query]);
	const key = (event) => {
		const by = {
			ArrowDown: 1,
			ArrowUp: -1,
			PageDown: 8,
			PageUp: -8
		}[event.key];
		if (by !== void 0) {
			event.preventDefault();
			setAt(Math.max(0, Math.min(found.length - 1, at + by)));
		} else if (event.key === "Enter" && chosen) {
			event.preventDefault();
			choose(chosen);
		}
	};
	return (0, import_jsx_runtime.jsxs)("div", {
		className: "picker",
		children: [(0, import_jsx_runtime.jsx)("input", {
			type: "text",
			role: "combobox",
			"aria-label": label,
			"aria-expanded": "true",
			"aria-controls": `${id}-list`,
			autoFocus: true,
			autoComplete: "off",
			spellCheck: false,
			"aria-activedescendant": chosen ? `${id}-${chosen.key}` : void 0,
			placeholder: label,
			value: query,
			onChange: (event) => {
				setQuery(event.target.value);
				setAt(0);
			},
			onKeyDown: key
		}), (0, import_jsx_runtime.jsxs)("ul", {
			id: `${id}-list`,
			role: "listbox",
			"aria-label": label,
			ref: list,
			tabIndex: -1,
			children: [found.map((choice, index) => (0, import_jsx_runtime.jsxs)("li", {
				id: `${id}-${choice.key}`,
				role: "option",
				"aria-selected": choice === chosen,
				onPointerMove: () => at !== index && setAt(index),
				onClick: () => choose(choice),
				children: [
					choice.lead,
					(0, import_jsx_runtime.jsx)("span", {
						className: "picker-label",
						children: choice.label
					}),
					choice.hint && (0, import_jsx_runtime.jsx)("small", { children: choice.hint })
				]
			}, choice.key)), found.length === 0 && (0, import_jsx_runtime.jsx)("li", {
				role: "option",
				"aria-selected": "false",
				"aria-disabled": "true",
				className: "nothing",
				children: t("picker.nothing")
			})]
		})]
	});
}
// src/panels/Palette.tsx
function matching(defs, query, loose) {
	return defs.filter((def) => !loose || fittingPort(def, loose)).map((def) => ({
		def,
		points: score(query, def.title, def.type, def.category, ...def.aliases) - (def.deprecated ? 1 : def.category.startsWith("_") ? .5 : 0)
	})).filter(({ points }) => points > 0).sort((a, b) => b.points - a.points || a.def.category.localeCompare(b.def.category) || a.def.title.localeCompare(b.def.title)).map(({ def }) => def);
}
function Dot({ def }) {
	return (0, import_jsx_runtime.jsx)("i", {
		className: "dot",
		style: { background: colorOf(def.outputs[0]?.type ?? def.inputs[0]?.type ?? "*") }
	});
}
function useOffered() {
	const definitions = useSchema((state) => state.definitions);
	const workflow = useDocument((state) => state.workflow);
	const own = Object.keys(workflow.subgraphs).map((name) => definitionOf(definitions, workflow, "", {
		type: subgraphType(name),
		inputs: {}
	}));
	return [...new Set(definitions.values()), ...own];
}
function Palette() {
	const palette = useView((view) => view.palette);
	const offered = useOffered();
	if (!palette) return null;
	const { screen, at, loose } = palette;
	const search = (query) => matching(offered, query, loose).map((def) => ({
		key: def.type,
		label: def.title,
		hint: def.category,
		lead: (0, import_jsx_runtime.jsx)(Dot, { def }),
		def
	}));
	const close = () => useView.setState({ palette: null });
	const choose = ({ def }) => {
		close();
		addAt(def, at, loose);
		document.querySelector(".canvas")?.focus({ preventScroll: true });
	};
	const left = Math.max(8, Math.min(screen[0], innerWidth - 368));
	const top = Math.max(8, Math.min(screen[1], innerHeight - 400));
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsx)("div", {
		className: "veil clear",
		onPointerDown: close
	}), (0, import_jsx_runtime.jsxs)("div", {
		className: "palette popover",
		role: "dialog",
		"aria-label": t("palette.label"),
		style: {
			left,
			top
		},
		children: [loose && (0, import_jsx_runtime.jsx)("p", {
			className: "palette-note",
			children: t(loose.side === "source" ? "palette.takes" : "palette.gives", { type: loose.type })
		}), (0, import_jsx_runtime.jsx)(Picker, {
			label: t("palette.search"),
			search,
			choose
		})]
	})] });
}
// src/panels/SidePanel.tsx
var TABS = [
	["results", "image"],
	["queue", "queue"],
	["node", "info"],
	["outline", "outline"],
	["problems", "warning"],
	["versions", "history"]
];
function Count({ panel }) {
	const jobs = useRun((state) => activeJobs(state).length);
	const problems = useProblems((state) => state.list.length);
	const number = panel === "queue" ? jobs : panel === "problems" ? problems : 0;
	return number > 0 ? (0, import_jsx_runtime.jsx)("b", {
		className: `count ${panel}`,
		children: number
	}) : null;
}
function SidePanel() {
	const panel = useView((view) => view.panel);
	return (0, import_jsx_runtime.jsxs)("aside", {
		className: `side ${panel ? "open" : ""}`,
		"aria-label": t("side.label"),
		children: [(0, import_jsx_runtime.jsx)("nav", {
			className: "rail",
			"aria-label": t("side.tabs"),
			children: TABS.map(([name, icon]) => (0, import_jsx_runtime.jsxs)("button", {
				type: "button",
				"aria-pressed": panel === name,
				title: t(`panel.${name}`),
				onClick: () => togglePanel(name),
				children: [
					(0, import_jsx_runtime.jsx)(Icon, {
						name: icon,
						size: 18
					}),
					(0, import_jsx_runtime.jsx)("span", { children: t(`panel.${name}`) }),
					(0, import_jsx_runtime.jsx)(Count, { panel: name })
				]
			}, name))
		}), panel && (0, import_jsx_runtime.jsxs)("section", {
			className: "side-body",
			"aria-label": t(`panel.${panel}`),
			children: [(0, import_jsx_runtime.jsxs)("header", { children: [(0, import_jsx_runtime.jsx)("h2", { children: t(`panel.${panel}`) }), (0, import_jsx_runtime.jsx)(IconButton, {
				icon: "close",
				label: t("side.close"),
				onClick: () => togglePanel(panel)
			})] }), (0, import_jsx_runtime.jsx)(import_react.Suspense, { children: (0, import_jsx_runtime.jsx)(PanelBody, { panel }) })]
		})]
	});
}
// src/panels/Toast.tsx
var AT_LEAST_MS = 2500;
var MS_PER_LETTER = 40;
function Toast() {
	const note = useView((view) => view.note);
	const errors = useView((view) => view.errors);
	const box = (0, import_react.useRef)(null);
	(0, import_react.useEffect)(() => {
		box.current?.hidePopover();
		box.current?.showPopover();
	}, [note, errors]);
	(0, import_react.useEffect)(() => {
		const timer = note && setTimeout(() => useView.setState({ note: null }), AT_LEAST_MS + MS_PER_LETTER * note.text.length);
		return () => clearTimeout(timer ?? void 0);
	}, [note]);
	return (0, import_jsx_runtime.jsxs)("div", {
		ref: box,
		className: "toasts",
		popover: "manual",
		children: [(0, import_jsx_runtime.jsx)("div", {
			role: "alert",
			children: errors.map((said, index) => (0, import_jsx_runtime.jsxs)("p", {
				className: "toast error",
				children: [said.text, (0, import_jsx_runtime.jsx)(IconButton, {
					icon: "close",
					label: t("dialog.close"),
					onClick: () => closeError(said)
				})]
			}, `${index} ${said.text}`))
		}), (0, import_jsx_runtime.jsx)("p", {
			role: "status",
			className: note ? "toast" : "hidden",
			children: note?.text
		})]
	});
}
// src/state/submit.ts
var randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
function isReady(targets) {
	useView.setState({ errors: [] });
	const list = checkHere(targets);
	if (!list.length) return true;
	keepProblems(list);
	useView.setState({ panel: "problems" });
	say(count(list.length, "run.problem", "run.problems"));
	return false;
}
var noteSending = (more) => useRun.setState(({ sending }) => ({ sending: sending + more }));
async function post({ targets, front, overrides }) {
	const { workflow } = current();
	noteSending(1);
	const job = await call("v1/jobs", {
		json: {
			workflow,
			client: useSession.getState().draft,
			...targets ? { targets } : {},
			...front ? { front } : {},
			...overrides ? { overrides } : {}
		},
		headers: { "Idempotency-Key": newKey() }
	}).finally(() => noteSending(-1));
	useRun.setState((state) => ({
		ours: new Set([...state.ours, job.id]),
		sent: workflow,
		before: state.sent
	}));
	learn(job);
	return job;
}
async function run(options = {}) {
	if (!isReady(options.targets)) return;
	try {
		for (let i = 0; i < (options.count ?? 1); i += 1) {
			amend((workflow) => drawSeeds(workflow, randomSeed));
			await post(options);
		}
	} catch (error) {
		if (!(error instanceof ServerError)) throw error;
		keepProblems(error.problems);
		const node = error.problems[0]?.node;
		if (error.problems.length) useView.setState({ panel: "problems" });
		sayError(error);
		const shown = node && visibleNode(node);
		if (shown) reveal(shown);
	}
}
var cancelJob = (id) => call(`v1/jobs/${id}`, { method: "DELETE" });
var clearQueue = () => call("v1/jobs?status=queued", { method: "DELETE" });
var placeJob = (id, position) => call(`v1/jobs/${id}`, {
	method: "PATCH",
	json: { position }
});
async function setPaused(paused) {
	await call("v1/queue", {
		method: "PATCH",
		json: { paused }
	});
	useRun.setState({ paused });
	say(t(paused ? "queue.paused" : "queue.resumed"));
}
function cancelShown() {
	const { shown } = useRun.getState();
	if (shown) cancelJob(shown);
}
async function runGrid(cells) {
	if (!isReady()) return [];
	const sent = [];
	try {
		for (const { label, overrides } of cells) sent.push({
			id: (await post({ overrides })).id,
			label
		});
	} catch (error) {
		sayError(error);
	}
	return sent;
}
// src/commands.ts
var nothing = () => void 0;
var COMMANDS = [
	{
		id: "run",
		group: "run",
		label: "do.run",
		keys: ["Ctrl+Enter"],
		icon: "play",
		inFields: true,
		run: () => void run()
	},
	{
		id: "runFront",
		group: "run",
		label: "do.runFront",
		keys: ["Ctrl+Shift+Enter"],
		inFields: true,
		run: () => void run({ front: true })
	},
	{
		id: "runTo",
		group: "run",
		label: "do.runTo",
		keys: ["Alt+Enter"],
		icon: "play",
		needsNodes: true,
		run: () => void run({ targets: selection() })
	},
	{
		id: "cancel",
		group: "run",
		label: "do.cancel",
		keys: ["Alt+Backspace"],
		icon: "stop",
		run: cancelShown
	},
	{
		id: "pause",
		group: "run",
		label: "do.pause",
		icon: "pause",
		run: () => void setPaused(!useRun.getState().paused)
	},
	{
		id: "batch",
		group: "run",
		label: "do.batch",
		keys: ["Shift+B"],
		icon: "grid",
		run: () => show({ kind: "batch" })
	},
	{
		id: "undo",
		group: "edit",
		label: "do.undo",
		keys: ["Ctrl+Z"],
		icon: "undo",
		run: undo
	},
	{
		id: "redo",
		group: "edit",
		label: "do.redo",
		keys: ["Ctrl+Shift+Z", "Ctrl+Y"],
		icon: "redo",
		run: redo
	},
	{
		id: "cut",
		group: "edit",
		label: "do.cut",
		keys: ["Ctrl+X"],
		native: true,
		run: nothing
	},
	{
		id: "copy",
		group: "edit",
		label: "do.copy",
		keys: ["Ctrl+C"],
		native: true,
		run: nothing
	},
	{
		id: "paste",
		group: "edit",
		label: "do.paste",
		keys: ["Ctrl+V"],
		native: true,
		run: nothing
	},
	{
		id: "pasteLinked",
		group: "edit",
		label: "do.pasteLinked",
		keys: ["Ctrl+Shift+V"],
		native: true,
		run: nothing
	},
	{
		id: "duplicate",
		group: "edit",
		label: "do.duplicate",
		keys: ["Ctrl+D"],
		icon: "copy",
		needsNodes: true,
		run: duplicate
	},
	{
		id: "selectAll",
		group: "edit",
		label: "do.selectAll",
		keys: ["Ctrl+A"],
		run: selectAll
	},
	{
		id: "find",
		group: "edit",
		label: "do.find",
		keys: ["Ctrl+F"],
		icon: "search",
		inFields: true,
		run: () => show({ kind: "find" })
	},
	{
		id: "arrange",
		group: "edit",
		label: "do.arrange",
		keys: ["Shift+A"],
		icon: "arrange",
		run: () => void arrange()
	},
	{
		id: "add",
		group: "node",
		label: "do.add",
		keys: ["Tab", "Shift+N"],
		icon: "plus",
		run: openPaletteHere
	},
	{
		id: "rename",
		group: "node",
		label: "do.rename",
		keys: ["F2"],
		needsNodes: true,
		run: rename
	},
	{
		id: "bypass",
		group: "node",
		label: "do.bypass",
		keys: ["Ctrl+B"],
		icon: "bypass",
		needsNodes: true,
		run: bypass
	},
	{
		id: "mute",
		group: "node",
		label: "do.mute",
		keys: ["Ctrl+M"],
		icon: "mute",
		needsNodes: true,
		run: mute
	},
	{
		id: "freeze",
		group: "node",
		label: "do.freeze",
		keys: ["Shift+F"],
		icon: "snow",
		needsNodes: true,
		run: freeze
	},
	{
		id: "collapse",
		group: "node",
		label: "do.collapse",
		keys: ["Alt+C"],
		icon: "down",
		needsNodes: true,
		run: collapse
	},
	{
		id: "connect",
		group: "node",
		label: "do.connect",
		keys: ["C"],
		icon: "share",
		needsNodes: true,
		run: connectFrom
	},
	{
		id: "replace",
		group: "node",
		label: "do.replace",
		keys: ["Shift+R"],
		icon: "swap",
		needsNodes: true,
		run: replace
	},
	{
		id: "frame",
		group: "node",
		label: "do.frame",
		keys: ["Ctrl+G"],
		icon: "frame",
		needsNodes: true,
		run: frame
	},
	{
		id: "subgraph",
		group: "node",
		label: "do.subgraph",
		keys: ["Ctrl+Shift+G"],
		icon: "enter",
		needsNodes: true,
		run: subgraph
	},
	{
		id: "unpack",
		group: "node",
		label: "do.unpack",
		needsNodes: true,
		run: unpackSelected
	},
	{
		id: "delete",
		group: "node",
		label: "do.delete",
		keys: ["Delete", "Backspace"],
		icon: "trash",
		needsNodes: true,
		run: removeSelected
	},
	{
		id: "help",
		group: "node",
		label: "do.help",
		keys: ["H"],
		icon: "help",
		run: () => togglePanel("node")
	},
	{
		id: "commands",
		group: "view",
		label: "do.commands",
		keys: ["Ctrl+K"],
		inFields: true,
		run: () => show({ kind: "commands" })
	},
	{
		id: "form",
		group: "view",
		label: "do.form",
		keys: ["V"],
		icon: "form",
		run: toggleForm
	},
	{
		id: "fit",
		group: "view",
		label: "do.fit",
		keys: ["F"],
		icon: "fit",
		run: fitAll
	},
	{
		id: "zoomIn",
		group: "view",
		label: "do.zoomIn",
		keys: ["+", "="],
		run: zoomIn
	},
	{
		id: "zoomOut",
		group: "view",
		label: "do.zoomOut",
		keys: ["-"],
		run: zoomOut
	},
	{
		id: "actualSize",
		group: "view",
		label: "do.actualSize",
		keys: ["1"],
		run: actualSize
	},
	{
		id: "snap",
		group: "view",
		label: "do.snap",
		keys: ["G"],
		icon: "grid",
		run: toggleSnap
	},
	{
		id: "results",
		group: "view",
		label: "do.results",
		keys: ["R"],
		icon: "image",
		run: () => togglePanel("results")
	},
	{
		id: "queue",
		group: "view",
		label: "do.queue",
		keys: ["Q"],
		icon: "queue",
		run: () => togglePanel("queue")
	},
	{
		id: "outline",
		group: "view",
		label: "do.outline",
		keys: ["O"],
		icon: "outline",
		run: () => togglePanel("outline")
	},
	{
		id: "problems",
		group: "view",
		label: "do.problems",
		keys: ["P"],
		icon: "warning",
		run: () => togglePanel("problems")
	},
	{
		id: "shortcuts",
		group: "view",
		label: "do.shortcuts",
		keys: ["?"],
		icon: "info",
		run: () => show({ kind: "shortcuts" })
	},
	{
		id: "tour",
		group: "view",
		label: "do.tour",
		icon: "help",
		run: () => useView.setState({
			tour: 0,
			mode: "canvas"
		})
	},
	{
		id: "escape",
		group: "view",
		label: "do.escape",
		keys: ["Escape"],
		inFields: true,
		run: escape
	},
	{
		id: "new",
		group: "file",
		label: "do.new",
		keys: ["Alt+N"],
		icon: "plus",
		run: newWorkflow
	},
	{
		id: "library",
		group: "file",
		label: "do.library",
		keys: ["L"],
		icon: "library",
		run: () => show({ kind: "library" })
	},
	{
		id: "save",
		group: "file",
		label: "do.save",
		keys: ["Ctrl+S"],
		icon: "save",
		inFields: true,
		run: () => void save()
	},
	{
		id: "saveAs",
		group: "file",
		label: "do.saveAs",
		keys: ["Ctrl+Shift+S"],
		inFields: true,
		run: () => show({ kind: "save" })
	},
	{
		id: "versions",
		group: "file",
		label: "do.versions",
		icon: "history",
		run: () => togglePanel("versions")
	},
	{
		id: "open",
		group: "file",
		label: "do.open",
		keys: ["Ctrl+O"],
		icon: "upload",
		run: chooseFile
	},
	{
		id: "download",
		group: "file",
		label: "do.download",
		icon: "download",
		run: download
	},
	{
		id: "share",
		group: "file",
		label: "do.share",
		icon: "share",
		run: () => void share()
	},
	{
		id: "unshare",
		group: "file",
		label: "do.unshare",
		run: () => void unshare()
	},
	{
		id: "curl",
		group: "file",
		label: "do.curl",
		icon: "code",
		run: () => void copyCurl()
	},
	{
		id: "python",
		group: "file",
		label: "do.python",
		icon: "code",
		run: () => void copyPython()
	}
];
var commandOf = (id) => COMMANDS.find((one) => one.id === id);
// src/shortcuts.ts
var mac = navigator.platform.startsWith("Mac");
function pressed(event) {
	const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
	const letter = /^[A-Z]$/.test(key) || event.key.length > 1;
	return [
		event.ctrlKey || event.metaKey ? "Ctrl" : "",
		event.altKey ? "Alt" : "",
		event.shiftKey && letter ? "Shift" : "",
		key
	].filter(Boolean).join("+");
}
var display = (keys) => mac ? keys.replace("Ctrl", "⌘").replace("Alt", "⌥") : keys;
function isTyping(target) {
	const element = target;
	if (!element?.matches) return false;
	return element.matches("textarea, select, [contenteditable], input:not([type=checkbox]):not([type=range]):not([type=file]):not([type=button])");
}
var ARROWS = {
	ArrowLeft: [-1, 0],
	ArrowRight: [1, 0],
	ArrowUp: [0, -1],
	ArrowDown: [0, 1]
};
function onCard(event) {
	const card = event.target.closest?.(".react-flow__node");
	const isCard = card !== null && card === event.target;
	if (isCard && (event.key === "Enter" || event.key === " ") && !event.ctrlKey && !event.altKey) {
		const id = card.dataset.id ?? "";
		select(event.shiftKey ? [...selection(), id] : [id]);
		return true;
	}
	const arrow = ARROWS[event.key];
	const onCanvas = isCard || document.activeElement === document.body || document.activeElement?.classList.contains("canvas");
	if (!arrow || !onCanvas || !selection().length) return false;
	const step = event.shiftKey ? 40 : 8;
	nudge(arrow[0] * step, arrow[1] * step);
	return true;
}
function keyDown(event) {
	if (event.defaultPrevented || event.isComposing) return;
	const keys = pressed(event);
	const typing = isTyping(event.target);
	const command = COMMANDS.find((one) => one.keys?.includes(keys));
	const { dialog, palette } = useView.getState();
	if ((dialog || palette) && command?.id !== "escape") return;
	if (keys === "Tab" && !document.activeElement?.classList.contains("canvas")) return;
	if (!typing && onCard(event)) return event.preventDefault();
	if (!command || command.native || typing && !command.inFields) return;
	if (command.id === "escape" && typing && !dialog && !palette) return event.target.blur();
	if (event.target.closest?.("button, summary, a, [role=menuitem]") && (keys === "Enter" || keys === " ")) return;
	event.preventDefault();
	focusedAsSelection(command.needsNodes);
	command.run();
}
function focusedAsSelection(wanted) {
	if (!wanted || selection().length) return;
	const card = document.activeElement?.closest(".react-flow__node-card");
	if (card?.dataset.id) select([card.dataset.id]);
}
var keepLinks = false;
function clipboard(event) {
	if (event.defaultPrevented || isTyping(event.target) || useView.getState().dialog) return;
	if (event.type === "paste") return pasteEvent(event);
	const text = copied();
	if (text === null || !event.clipboardData || !document.getSelection()?.isCollapsed) return;
	event.clipboardData.setData("text/plain", text);
	event.preventDefault();
	if (event.type === "cut") removeSelected();
}
function pasteEvent(event) {
	const file = event.clipboardData?.files[0];
	const text = event.clipboardData?.getData("text/plain") ?? "";
	if (file) file.type.startsWith("image/") ? loadPicture(file, [0, 0]) : openFile(file);
	else if (!pasteText(text, keepLinks) && looksLikeWorkflow(text)) openFile(new File([text], "workflow.json"));
}
function startShortcuts() {
	addEventListener("keydown", (event) => {
		keepLinks = event.shiftKey;
		keyDown(event);
	});
	for (const type of [
		"copy",
		"cut",
		"paste"
	]) document.addEventListener(type, clipboard);
}
// src/theme.ts
var SETTING = "graphflow.theme";
var THEMES = [
	"system",
	"light",
	"dark"
];
function theme() {
	const kept = localStorage.getItem(SETTING);
	return kept === "light" || kept === "dark" ? kept : "system";
}
function applyTheme(next = theme()) {
	if (next === "system") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = next;
}
function nextTheme() {
	const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length] ?? "system";
	localStorage.setItem(SETTING, next);
	applyTheme(next);
	return next;
}
// src/panels/Menu.tsx
var ON_NODE = [
	"runTo",
	"rename",
	"duplicate",
	"bypass",
	"mute",
	"freeze",
	"collapse",
	"connect",
	"replace",
	"frame",
	"subgraph",
	"unpack",
	"help",
	"delete"
];
function MenuItem({ command, close }) {
	return (0, import_jsx_runtime.jsxs)("button", {
		type: "button",
		role: "menuitem",
		onClick: () => {
			close();
			command.run();
		},
		children: [
			command.icon ? (0, import_jsx_runtime.jsx)(Icon, { name: command.icon }) : (0, import_jsx_runtime.jsx)("i", { className: "icon-gap" }),
			(0, import_jsx_runtime.jsx)("span", { children: t(command.label) }),
			command.keys?.[0] && (0, import_jsx_runtime.jsx)("kbd", { children: display(command.keys[0]) })
		]
	});
}
function menuKeys(event) {
	const by = {
		ArrowDown: 1,
		ArrowUp: -1
	}[event.key];
	if (by === void 0) return;
	event.preventDefault();
	const items = [...event.currentTarget.querySelectorAll("[role^=menuitem]")];
	items[(items.indexOf(document.activeElement) + by + items.length) % items.length]?.focus();
}
function NodeMenu() {
	const menu = useView((view) => view.menu);
	const box = (0, import_react.useRef)(null);
	(0, import_react.useEffect)(() => box.current?.querySelector("[role=menuitem]")?.focus({ preventScroll: true }), [menu]);
	if (!menu) return null;
	if (menu.node && !selection().includes(menu.node)) select([menu.node]);
	const close = () => useView.setState({ menu: null });
	const [left, top] = [Math.min(menu.screen[0], innerWidth - 292), Math.max(8, Math.min(menu.screen[1], innerHeight - 480))];
	return (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsx)("div", {
		className: "veil clear",
		onPointerDown: close
	}), (0, import_jsx_runtime.jsxs)("div", {
		ref: box,
		className: "menu popover",
		role: "menu",
		"aria-label": t("card.menu"),
		style: {
			left,
			top
		},
		onKeyDown: menuKeys,
		children: [ON_NODE.map(commandOf).map((command) => command && (0, import_jsx_runtime.jsx)(MenuItem, {
			command,
			close
		}, command.id)), (0, import_jsx_runtime.jsx)("div", {
			className: "tints",
			role: "group",
			"aria-label": t("card.color"),
			children: TINTS.map((color) => (0, import_jsx_runtime.jsx)("button", {
				type: "button",
				role: "menuitem",
				"data-tint": color,
				"aria-label": t(`tint.${color || "none"}`),
				onClick: () => {
					close();
					tint(color);
				}
			}, color))
		})]
	})] });
}
// src/panels/RunBar.tsx
function markRerun(on) {
	const { rerun } = useProblems.getState();
	const { workflow } = current();
	const wanted = needed(useSchema.getState().definitions, workflow);
	const drawn = Object.keys(workflow.nodes).filter((id) => workflow.layout[id]?.draw?.length && !workflow.nodes[id]?.frozen);
	const again = [...rerun ?? [], ...[...descendants(workflow, drawn)].filter((id) => wanted.has(id))];
	useView.setState({ marks: on && rerun ? Object.fromEntries(again.map((id) => [id, "rerun"])) : {} });
}
function Progress() {
	const job = useRun(shownJob);
	const [now, setNow] = (0, import_react.useState)(Date.now() / 1e3);
	const running = job?.status === "running";
	(0, import_react.useEffect)(() => {
		if (!running) return;
		const timer = setInterval(() => setNow(Date.now() / 1e3), 500);
		return () => clearInterval(timer);
	}, [running]);
	(0, import_react.useEffect)(() => {
		document.title = running ? `${Math.round(job.progress * 100)} % · GraphFlow` : "GraphFlow";
	}, [running, job?.progress]);
	if (!job || !isActive(job)) return null;
	const { nodes } = current().workflow;
	const { rerun } = useProblems.getState();
	const left = remaining(job, now, [...rerun ?? []].map((id) => nodes[id]?.type ?? ""));
	return (0, import_jsx_runtime.jsxs)("span", {
		className: "run-progress",
		role: "progressbar",
		"aria-label": t("run.progress"),
		"aria-valuenow": Math.round(job.progress * 100),
		children: [(0, import_jsx_runtime.jsx)("i", { style: { transform: `scaleX(${job.progress})` } }), (0, import_jsx_runtime.jsx)("span", { children: job.status === "queued" ? t("run.waiting") : left === null ? `${Math.round(job.progress * 100)} %` : t("run.left", { time: seconds(Math.ceil(left)) }) })]
	});
}
function RunBar() {
	const [count, setCount] = (0, import_react.useState)(1);
	const [resting, setResting] = (0, import_react.useState)(false);
	const rerun = useProblems((state) => state.rerun);
	(0, import_react.useEffect)(() => {
		if (!resting) return;
		markRerun(true);
		return () => markRerun(false);
	}, [resting, rerun]);
	const problems = useProblems((state) => state.list.length);
	const waiting = useRun((state) => activeJobs(state).length);
	const busy = useRun((state) => isActive(shownJob(state)));
	const sending = useRun((state) => state.sending > 0);
	const empty = useDocument((state) => Object.keys(state.workflow.nodes).length === 0);
	return (0, import_jsx_runtime.jsxs)("span", {
		className: "run-bar",
		children: [
			(0, import_jsx_runtime.jsx)(Progress, {}),
			busy && (0, import_jsx_runtime.jsx)(IconButton, {
				icon: "stop",
				className: "stop",
				label: t("do.cancel"),
				title: t("do.cancel"),
				onClick: cancelShown
			}),
			problems > 0 && !empty && (0, import_jsx_runtime.jsxs)("button", {
				type: "button",
				className: "problem-count",
				onClick: () => togglePanel("problems"),
				children: [
					(0, import_jsx_runtime.jsx)(Icon, { name: "warning" }),
					problems,
					(0, import_jsx_runtime.jsx)("span", {
						className: "hidden",
						children: t("run.problemsShort")
					})
				]
			}),
			(0, import_jsx_runtime.jsxs)("label", {
				className: "run-count",
				title: t("run.count"),
				children: [(0, import_jsx_runtime.jsx)("span", {
					className: "hidden",
					children: t("run.count")
				}), (0, import_jsx_runtime.jsx)("input", {
					type: "number",
					min: 1,
					max: 99,
					value: count,
					onChange: (event) => setCount(Math.max(1, Math.min(99, Number(event.target.value) || 1)))
				})]
			}),
			(0, import_jsx_runtime.jsxs)("button", {
				type: "button",
				className: "primary run",
				"aria-busy": sending,
				title: `${t("do.run")} (${display("Ctrl+Enter")})`,
				onPointerEnter: () => setResting(true),
				onPointerLeave: () => setResting(false),
				onClick: () => {
					setResting(false);
					run({ count });
				},
				children: [
					(0, import_jsx_runtime.jsx)(Icon, { name: "play" }),
					t("bar.run"),
					waiting > 1 && (0, import_jsx_runtime.jsx)("b", {
						className: "waiting",
						children: waiting
					})
				]
			})
		]
	});
}
// src/panels/Status.tsx
function Status() {
	const connection = useRun((state) => state.connection);
	const outdated = useRun((state) => state.outdated);
	const paused = useRun((state) => state.paused);
	const workers = useRun((state) => state.workers);
	const dead = Object.values(workers).find((worker) => worker.state === "dead");
	const starting = Object.values(workers).find((worker) => worker.state === "starting");
	if (connection === "lost") return (0, import_jsx_runtime.jsxs)("span", {
		className: "status lost",
		role: "alert",
		children: [(0, import_jsx_runtime.jsx)("i", { className: "pulse" }), t("status.lost")]
	});
	if (outdated) return (0, import_jsx_runtime.jsxs)("span", {
		className: "status",
		role: "alert",
		children: [
			t("status.outdated"),
			" ",
			(0, import_jsx_runtime.jsx)("button", {
				type: "button",
				onClick: () => location.reload(),
				children: t("status.reload")
			})
		]
	});
	if (dead) return (0, import_jsx_runtime.jsxs)("span", {
		className: "status lost",
		role: "alert",
		title: dead.message,
		children: [(0, import_jsx_runtime.jsx)(Icon, { name: "warning" }), t("status.dead", { message: dead.message })]
	});
	if (starting) return (0, import_jsx_runtime.jsxs)("span", {
		className: "status",
		children: [(0, import_jsx_runtime.jsx)("i", { className: "pulse" }), t("status.starting")]
	});
	if (paused) return (0, import_jsx_runtime.jsxs)("span", {
		className: "status",
		children: [(0, import_jsx_runtime.jsx)(Icon, { name: "pause" }), t("status.paused")]
	});
	const device = Object.values(workers)[0]?.device;
	return (0, import_jsx_runtime.jsx)("span", {
		className: "status quiet",
		children: connection === "connecting" ? t("status.connecting") : device && (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsx)("i", { className: "live" }), device] })
	});
}
// src/panels/TopBar.tsx
function FileMenu() {
	const [open, setOpen] = (0, import_react.useState)(false);
	const anchor = (0, import_react.useRef)(null);
	const close = () => setOpen(false);
	(0, import_react.useEffect)(() => {
		if (open) anchor.current?.querySelector("[role=menuitem]")?.focus();
	}, [open]);
	return (0, import_jsx_runtime.jsxs)("span", {
		ref: anchor,
		className: "menu-anchor",
		onKeyDown: (event) => event.key === "Escape" && close(),
		children: [(0, import_jsx_runtime.jsxs)("button", {
			type: "button",
			className: "ghost brand",
			"aria-haspopup": "menu",
			"aria-expanded": open,
			"aria-label": t("bar.menu"),
			onClick: () => setOpen(!open),
			children: [(0, import_jsx_runtime.jsxs)("svg", {
				viewBox: "0 0 32 32",
				width: "24",
				height: "24",
				"aria-hidden": "true",
				children: [
					(0, import_jsx_runtime.jsx)("path", {
						className: "brand-line",
						d: "M9 9h4c5 0 5 14 10 14h0M9 23h4c3 0 4-5 5-7"
					}),
					(0, import_jsx_runtime.jsx)("circle", {
						cx: "7",
						cy: "9",
						r: "4"
					}),
					(0, import_jsx_runtime.jsx)("circle", {
						cx: "7",
						cy: "23",
						r: "4"
					}),
					(0, import_jsx_runtime.jsx)("circle", {
						cx: "25",
						cy: "23",
						r: "4"
					})
				]
			}), (0, import_jsx_runtime.jsx)(Icon, {
				name: "down",
				size: 12
			})]
		}), open && (0, import_jsx_runtime.jsxs)(import_jsx_runtime.Fragment, { children: [(0, import_jsx_runtime.jsx)("div", {
			className: "veil clear",
			onPointerDown: close
		}), (0, import_jsx_runtime.jsxs)("div", {
			className: "menu popover",
			role: "menu",
			"aria-label": t("bar.menu"),
			onKeyDown: menuKeys,
			children: [
				COMMANDS.filter((one) => one.group === "file").map((command) => (0, import_jsx_runtime.jsx)(MenuItem, {
					command,
					close
				}, command.id)),
				(0, import_jsx_runtime.jsx)("hr", {}),
				["tour", "shortcuts"].map(commandOf).map((command) => command && (0, import_jsx_runtime.jsx)(MenuItem, {
					command,
					close
				}, command.id)),
				(0, import_jsx_runtime.jsx)("hr", {}),
				Object.entries(LANGUAGES).map(([key, name]) => (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					role: "menuitemradio",
					"aria-checked": key === language(),
					lang: key,
					onClick: () => chooseLanguage(key),
					children: [key === language() ? (0, import_jsx_runtime.jsx)(Icon, { name: "check" }) : (0, import_jsx_runtime.jsx)("i", { className: "icon-gap" }), (0, import_jsx_runtime.jsx)("span", { children: name })]
				}, key))
			]
		})] })]
	});
}
function ThemeButton() {
	const [now, setNow] = (0, import_react.useState)(theme());
	return (0, import_jsx_runtime.jsx)(IconButton, {
		icon: now === "light" ? "sun" : now === "dark" ? "moon" : "color",
		className: "theme",
		label: t(`theme.${now}`),
		title: t(`theme.${now}`),
		onClick: () => setNow(nextTheme())
	});
}
function Name() {
	const name = useDocument((state) => state.workflow.name);
	const saved = useSession((state) => state.saved);
	const locked = useDocument((state) => state.locked);
	return (0, import_jsx_runtime.jsxs)("span", {
		className: "document-name",
		children: [(0, import_jsx_runtime.jsx)("input", {
			"aria-label": t("bar.name"),
			placeholder: t("file.untitled"),
			value: name,
			size: Math.min(Math.max(name.length, 10), 28),
			onChange: (event) => editWorkflow((workflow) => ({
				...workflow,
				name: event.target.value
			}), "name")
		}), (0, import_jsx_runtime.jsxs)("small", {
			className: `saved ${saved}`,
			children: [t(locked ? "saved.shared" : `saved.${saved}`), locked && (0, import_jsx_runtime.jsx)("button", {
				type: "button",
				className: "link",
				onClick: unlock,
				children: t("share.own")
			})]
		})]
	});
}
function Tool({ id, disabled = false }) {
	const command = commandOf(id);
	if (!command?.icon) return null;
	const title = `${t(command.label)}${command.keys?.[0] ? ` (${display(command.keys[0])})` : ""}`;
	return (0, import_jsx_runtime.jsx)(IconButton, {
		icon: command.icon,
		label: t(command.label),
		title,
		disabled,
		onClick: command.run
	});
}
function TopBar() {
	const canUndo = useDocument((state) => state.past.length > 0);
	const canRedo = useDocument((state) => state.future.length > 0);
	const mode = useView((view) => view.mode);
	return (0, import_jsx_runtime.jsxs)("header", {
		className: "top-bar",
		children: [
			(0, import_jsx_runtime.jsx)(FileMenu, {}),
			(0, import_jsx_runtime.jsx)(Name, {}),
			(0, import_jsx_runtime.jsxs)("span", {
				className: "tools wide",
				children: [
					(0, import_jsx_runtime.jsx)(Tool, {
						id: "undo",
						disabled: !canUndo
					}),
					(0, import_jsx_runtime.jsx)(Tool, {
						id: "redo",
						disabled: !canRedo
					}),
					(0, import_jsx_runtime.jsx)(Tool, { id: "add" }),
					(0, import_jsx_runtime.jsx)(Tool, { id: "save" }),
					(0, import_jsx_runtime.jsx)(Tool, { id: "library" }),
					(0, import_jsx_runtime.jsx)(Tool, { id: "find" }),
					(0, import_jsx_runtime.jsx)(Tool, { id: "arrange" })
				]
			}),
			(0, import_jsx_runtime.jsxs)("span", {
				className: "segmented",
				role: "group",
				"aria-label": t("bar.view"),
				children: [(0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					"aria-label": t("bar.graph"),
					"aria-pressed": mode === "canvas",
					onClick: () => setMode("canvas"),
					children: [(0, import_jsx_runtime.jsx)(Icon, { name: "graph" }), (0, import_jsx_runtime.jsx)("span", { children: t("bar.graph") })]
				}), (0, import_jsx_runtime.jsxs)("button", {
					type: "button",
					"aria-label": t("bar.form"),
					"aria-pressed": mode === "form",
					onClick: () => setMode("form"),
					children: [(0, import_jsx_runtime.jsx)(Icon, { name: "form" }), (0, import_jsx_runtime.jsx)("span", { children: t("bar.form") })]
				})]
			}),
			(0, import_jsx_runtime.jsx)("span", { className: "spacer" }),
			(0, import_jsx_runtime.jsx)(Status, {}),
			(0, import_jsx_runtime.jsx)(ThemeButton, {}),
			(0, import_jsx_runtime.jsx)(RunBar, {})
		]
	});
}
// src/app.tsx
function App() {
	const mode = useView((view) => view.mode);
	const overlays = useView((view) => view.settled || view.dialog || view.menu || view.tour !== null);
	return (0, import_jsx_runtime.jsxs)(ReactFlowProvider, { children: [
		(0, import_jsx_runtime.jsxs)("div", {
			className: `app mode-${mode}`,
			children: [
				(0, import_jsx_runtime.jsx)(TopBar, {}),
				mode === "form" ? (0, import_jsx_runtime.jsx)(import_react.Suspense, { children: (0, import_jsx_runtime.jsx)(FormView, {}) }) : (0, import_jsx_runtime.jsx)("main", {
					className: "stage",
					children: (0, import_jsx_runtime.jsx)(Canvas, {})
				}),
				(0, import_jsx_runtime.jsx)(SidePanel, {})
			]
		}),
		(0, import_jsx_runtime.jsx)(Palette, {}),
		(0, import_jsx_runtime.jsx)(import_react.Suspense, { children: overlays && (0, import_jsx_runtime.jsx)(Overlays, {}) }),
		(0, import_jsx_runtime.jsx)(Toast, {})
	] });
}
// src/main.tsx
var FIRST = "text-to-image";
async function openFirst() {
	const hash = new URLSearchParams(location.hash.slice(1));
	const share = hash.get("share");
	const saved = hash.get("workflow");
	if (share) return openShared(share);
	if (saved) return openSaved(saved);
	if (hash.has("new")) return newWorkflow();
	if (!hash.has("template") && await openLast()) return;
	const shipped = await templates();
	const asked = hash.get("template");
	const found = shipped.find((one) => one.name === (asked ?? FIRST));
	const first = found ?? shipped[0];
	if (first) openTemplate(first);
	if (asked !== null && !found) sayError(t("library.noTemplate", { name: asked }));
	if (!tourSeen() && asked === null) setTimeout(() => useView.setState({ tour: 0 }), 600);
}
async function start() {
	applyTheme();
	await loadWords();
	const narrow = innerWidth < 700;
	useView.setState({
		panel: narrow ? null : lastPanel(),
		mode: location.hash === "#form" || narrow && !location.hash ? "form" : "canvas"
	});
	addEventListener("unhandledrejection", (event) => {
		if (!(event.reason instanceof ServerError)) return;
		event.preventDefault();
		sayError(event.reason);
	});
	startProjection();
	startProblems();
	(0, import_client.createRoot)(document.getElementById("app")).render((0, import_jsx_runtime.jsx)(App, {}));
	startShortcuts();
	await Promise.all([
		loadDefinitions(),
		loadModels(),
		loadUploads()
	]).catch(sayError);
	await openFirst().catch(sayError);
	startDrafts();
	startEvents();
	setTimeout(() => useView.setState({ settled: true }), 1500);
}
start();
export { reveal as $, moveItem as A, widgetOf as At, openSaved as B, t as Bt, proposal as C, remove as Ct, weightKey as D, definitionOf as Dt, Field as E, toggleMode as Et, colorOf as F, url as Ft, keepMine as G, sourceOf as Gt, saveAs as H, ancestors as Ht, TextOutput as I, bytes as It, saveFile as J, isRecord as Jt, openDraft as K, wires as Kt, toAsset as L, clock as Lt, useProblems as M, call as Mt, Icon as N, newKey as Nt, changeItem as O, fits as Ot, IconButton as P, thumbnailUrl as Pt, inGraph as Q, useAnswer as R, count as Rt, openPlaces as S, disconnect as St, badgeText as T, setValue as Tt, templates as U, inOrder as Ut, openTemplate as V, when as Vt, workflowOf as W, linkTo as Wt, useSession as X, writeJson as Xt, takeTheirs as Y, parseJson as Yt, TOUR as Z, addAt as _, edit as _t, cancelShown as a, upload as at, openPalette as b, open as bt, run as c, useNodeRun as ct, Dot as d, isSame as dt, say as et, matching as f, activeJobs as ft, titleOf as g, current as gt, score as h, useRun as ht, cancelJob as i, definitionIn as it, explain as j, assetUrl as jt, formItems as k, outputOf as kt, runGrid as l, visibleNode as lt, find as m, shownJob as mt, display as n, show as nt, clearQueue as o, useDefinition as ot, Picker as p, isActive as pt, openWorkflow as q, cleanWorkflow as qt, COMMANDS as r, useView as rt, placeJob as s, useSchema as st, NodeMenu as t, sayError as tt, setPaused as u, difference as ut, toggleFrozen as v, editWorkflow as vt, badgeHint as w, setTitle as wt, tryConnect as x, useDocument as xt, looseEnd as y, enter as yt, newWorkflow as z, seconds as zt };
