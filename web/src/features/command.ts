import { ApiProblem, answered, api, type Schemas } from "@/shared/api/client";

export type Preview = Schemas["PreviewOut"];
export type Done = Schemas["DoneOut"];

/** What came of a command: done, shown somewhere, or to be confirmed first. */
export type Given = { kind: "done"; done: Done } | { kind: "preview"; preview: Preview };

/** Give a command. What must be confirmed comes back as its preview; nothing was done then. */
export async function give(command: string, firm: string, key: string): Promise<Given> {
  try {
    const header = { "Idempotency-Key": key };
    const done = await answered(api.POST("/api/v1/commands/do", { params: { header }, body: { command, firm } }));
    return { kind: "done", done };
  } catch (error) {
    const fresh = freshOf(error);
    if (fresh !== null && (error as ApiProblem).code === "conflict_preview") return { kind: "preview", preview: fresh };
    throw error;
  }
}

/** The preview that came with a refusal, where one did. */
export function freshOf(error: unknown): Preview | null {
  return error instanceof ApiProblem && error.said.fresh ? (error.said.fresh as unknown as Preview) : null;
}

export function confirm(preview: Preview, phrase: string, reason: string, key: string): Promise<Done> {
  return answered(
    api.POST("/api/v1/commands/confirm", {
      params: { header: { "Idempotency-Key": key } },
      body: { preview_id: preview.preview_id, action_hash: preview.action_hash, phrase, reason },
    }),
  );
}

/** The command that acknowledges one breach. */
export function acknowledging(
  { account, rule_id, event_id }: { account: string; rule_id: string; event_id: string },
  reason: string,
): string {
  const said = reason.trim().replace(/[\\"]/g, "\\$&");
  return `/ack breach account:${account} rule:${rule_id} breach:${event_id}${said ? ` reason:"${said}"` : ""}`;
}

/** A command under one of its other names, written out; null where it is none. */
export function written(text: string, aliases: Readonly<Record<string, string>>): string | null {
  const said = /^\/([a-z]+) +([a-z]+)(?= |$)/.exec(text);
  const actual = said ? aliases[`${said[1]} ${said[2]}`] : undefined;
  return said && actual !== undefined ? `/${actual}${text.slice(said[0].length)}` : null;
}

export type Instead = { command: string; why: string } | { page: "/configs"; why: string };

const PROPOSE = "propose it: write it on the configuration's page and keep it as a draft";
/** What somebody may do where a role is missing: propose it, or the milder thing. By what begins like the command. */
const INSTEAD: readonly [string, string, string][] = [
  ["/override", "/configs", PROPOSE],
  ["/config", "/configs", PROPOSE],
  ["/kill", "/halt account", "pause the account"],
  ["/flatten", "/halt account", "pause the account"],
  ["/halt firm", "/halt account", "pause an account"],
];

export function insteadOf(text: string, allowed: readonly string[]): Instead | null {
  const [, to, why] = INSTEAD.find(([begins]) => text.startsWith(begins)) ?? ["", "", ""];
  if (to === "/configs") return allowed.includes("/config set") ? { page: to, why } : null;
  return allowed.includes(to) ? { command: `${to} `, why } : null;
}

/** The part of a line around a place, and where the caret goes under it; characters are code points. */
export function pointed(text: string, at: number): { line: string; caret: number } {
  const all = [...text];
  const from = Math.max(0, at - 32);
  const cut = from > 0 ? "…" : "";
  const line = `${cut}${all.slice(from, at + 24).join("")}${all.length > at + 24 ? "…" : ""}`;
  return { line, caret: at - from + cut.length };
}
