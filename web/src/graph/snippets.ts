/** The current workflow as a request that can be pasted into a terminal or a program. */
import { writeJson } from "./json";
import type { Workflow } from "./workflow";

export function asCurl(origin: string, workflow: Workflow): string {
  const body = writeJson({ workflow }).replaceAll("'", "'\\''");
  return `curl -s ${origin}/v1/jobs -H 'Content-Type: application/json' -d '${body}'`;
}

/** Python that needs nothing but its standard library: runs the workflow and saves its pictures. */
export function asPython(origin: string, workflow: Workflow): string {
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
