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
