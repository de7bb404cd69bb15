import { Diff } from "@/features/Confirm";
import type { Schemas } from "@/shared/api/client";
import { Button } from "@/shared/ui/Button";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { Table } from "@/shared/ui/Table";
import { useCommand } from "@/shell/confirming";

export const DIRECTION_TONES: Record<string, Tone> = { loosens: "safety", tightens: "accent", neutral: "plain" };
export const VERSION_TONES: Record<string, Tone> = {
  draft: "plain",
  proposed: "warn",
  approved: "accent",
  applying: "accent",
  applied: "accent",
  superseded: "plain",
  rejected: "safety",
  void: "plain",
};

export function DirectionChip({ direction }: { direction: string }) {
  return <Chip tone={DIRECTION_TONES[direction] ?? "unknown"}>{direction}</Chip>;
}

function words(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** What a document does to every account: one edited line may change ten of them, or none. */
export function Effective({ diff }: { diff: Schemas["DiffOut"] }) {
  const changes = [...diff.changes].sort((a, b) => rank(a.direction) - rank(b.direction));
  return (
    <div className="grid gap-3">
      <p className="flex flex-wrap items-center gap-2">
        <DirectionChip direction={diff.direction} />
        {diff.accounts.length === 0
          ? "No account is changed."
          : diff.accounts
              .map(
                (one) =>
                  `${one.account.split("/")[1]}: loosens ${one.loosens}, tightens ${one.tightens}, neutral ${one.neutral}`,
              )
              .join(" · ")}
        {diff.approvers > 1 ? <Chip tone="warn">{diff.approvers} people</Chip> : null}
      </p>
      {diff.findings.length > 0 ? <Findings found={diff.findings} /> : null}
      {changes.length > 0 ? (
        <Table
          label="Effective changes, what loosens first"
          keyOf={(one) => `${one.account} ${one.path}`}
          rows={changes}
          dense
          columns={[
            { name: "Account", cell: (one) => one.account.split("/")[1] },
            { name: "Key", cell: (one) => <code className="text-meta">{one.path}</code> },
            { name: "From", cell: (one) => words(one.old), right: true },
            { name: "To", cell: (one) => words(one.new), right: true },
            { name: "Direction", cell: (one) => <DirectionChip direction={one.direction} /> },
            {
              name: "Decided by",
              cell: (one) => <span className="text-muted">{one.layers.join(", ")}</span>,
              wide: true,
            },
          ]}
        />
      ) : null}
      {diff.text ? (
        <details>
          <summary className="cursor-pointer text-muted">As text</summary>
          <Diff text={diff.text} />
        </details>
      ) : null}
    </div>
  );
}

function rank(direction: string): number {
  return ["loosens", "tightens", "neutral"].indexOf(direction);
}

export function Findings({ found }: { found: readonly Schemas["FindingOut"][] }) {
  if (found.length === 0) return null;
  return (
    <ul className="grid gap-1">
      {found.map((one) => (
        <li key={`${one.path} ${one.line} ${one.expected}`} className="text-safety">
          {one.line !== null ? `Line ${one.line}: ` : ""}
          <code>{one.path}</code>: expected {one.expected}, found {one.found}
          {one.layers.length > 0 ? ` (${one.layers.join(" and ")})` : ""}
        </li>
      ))}
    </ul>
  );
}

/** A command behind a button, through its preview. */
export function CommandButton(props: {
  command: string;
  name: string;
  why?: string | undefined;
  kind?: "primary" | "plain";
}) {
  const ask = useCommand();
  return (
    <>
      <Button
        kind={props.kind ?? "plain"}
        why={props.why}
        command={props.command}
        disabled={ask.isPending}
        onClick={() => ask.mutate(props.command)}
      >
        {props.name}
      </Button>
      {ask.isError ? <p role="alert">{ask.error.message}</p> : null}
    </>
  );
}
