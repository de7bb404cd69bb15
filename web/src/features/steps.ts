import type { Schemas } from "@/shared/api/client";

type Version = Schemas["VersionOut"];
type Request = Pick<
  Schemas["ApprovalOut"],
  "request_id" | "maker" | "created_at" | "votes" | "given" | "required" | "status"
>;
type Seen = Pick<Schemas["AccountSummary"], "account" | "last_decision">;
export type Step = {
  name: string;
  state: "done" | "now" | "next" | "failed" | "left out";
  at: string | null;
  said: string;
  /** Of what is elsewhere. */
  link?: { to: "request" | "decision"; id: string; account?: string };
};

const OVER = new Set(["rejected", "void"]);
const REFUSED = new Set(["refused", "void", "expired", "failed"]);
const IN_FORCE = new Set(["applied", "superseded"]);

/** The way of a version from its draft to the engine, each step with its time and who or what took it. */
export function stepsOf(version: Version, request: Request | undefined, accounts: readonly Seen[] | undefined): Step[] {
  const put = IN_FORCE.has(version.status);
  const over = OVER.has(version.status);
  return [
    {
      name: "Drafted",
      state: "done",
      at: version.created_at,
      said: version.author === "file" ? "found in the file" : `version ${version.version} by ${version.author}`,
    },
    proposed(version, request, put || over),
    approved(version, request, put),
    {
      name: "Applied",
      state: put ? "done" : over ? "left out" : version.status === "applying" ? "now" : "next",
      at: version.applied_at,
      said: put ? `by ${version.by}` : over ? "never in force" : "",
    },
    ...loaded(version, accounts),
  ];
}

function proposed(version: Version, request: Request | undefined, settled: boolean): Step {
  const name = "Proposed";
  if (request) {
    const link = { to: "request" as const, id: request.request_id };
    return { name, state: "done", at: request.created_at, said: `by ${request.maker}`, link };
  }
  if (version.request_id) {
    const link = { to: "request" as const, id: version.request_id };
    return { name, state: "done", at: null, said: "", link };
  }
  if (settled) return { name, state: "left out", at: null, said: "nobody else had to be asked" };
  return { name, state: "next", at: null, said: "" };
}

function approved(version: Version, request: Request | undefined, put: boolean): Step {
  const name = "Approved";
  const yes = request?.votes.filter((one) => one.agrees) ?? [];
  const no = request?.votes.find((one) => !one.agrees);
  if (OVER.has(version.status)) {
    const said = no ? refusal(no) : version.detail || version.status;
    return { name, state: "failed", at: no?.at ?? null, said };
  }
  const said = yes.map((one) => one.actor).join(", ");
  if (request && (put || request.given >= request.required)) {
    return { name, state: "done", at: yes.at(-1)?.at ?? null, said: said ? `by ${said}` : "" };
  }
  if (request && REFUSED.has(request.status)) {
    return { name, state: "failed", at: no?.at ?? null, said: no ? refusal(no) : `the request is ${request.status}` };
  }
  if (request) return { name, state: "now", at: null, said: `${request.given} of ${request.required} agreed` };
  if (put) return { name, state: "left out", at: null, said: "one person may do it" };
  return {
    name,
    state: "next",
    at: null,
    said: version.approvers > 1 ? `${version.approvers} people` : "one person may do it",
  };
}

function refusal(vote: Schemas["VoteOut"]): string {
  return `${vote.actor} refused${vote.reason ? `: ${vote.reason}` : ""}`;
}

function loaded(version: Version, accounts: readonly Seen[] | undefined): Step[] {
  const name = "Loaded by the engine";
  if (version.status === "superseded") {
    return [{ name, state: "left out", at: null, said: "a later version is in force" }];
  }
  const touched = version.accounts.filter((one) => one.before_hash !== one.after_hash);
  if (version.status !== "applied" || touched.length === 0) {
    const over = OVER.has(version.status) || version.status === "applied";
    return [
      {
        name,
        state: over ? "left out" : "next",
        at: null,
        said: version.status === "applied" ? "no account changes" : "",
      },
    ];
  }
  return touched.map((one) => {
    const last = accounts?.find((seen) => seen.account === one.account)?.last_decision;
    const account = one.account.split("/")[1] ?? "";
    if (last?.config_hash !== one.after_hash) {
      return { name, state: "now", at: null, said: `${account}: with its next decision` };
    }
    const link = { to: "decision" as const, id: last.decision_id, account };
    return { name, state: "done", at: last.as_of, said: `${account} decided under it`, link };
  });
}
