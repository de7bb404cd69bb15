import { Link } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense } from "react";
import { Diff } from "@/features/Confirm";
import type { Schemas } from "@/shared/api/client";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { cx } from "@/shared/ui/cx";
import { Time } from "@/shared/ui/Figure";
import { Table } from "@/shared/ui/Table";
import type { Layout } from "./layout";
import { safety } from "./safety";
import type { Step } from "./steps";

export const YamlEditor = lazy(() => import("./YamlEditor"));

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
export function Effective({ diff, children }: { diff: Schemas["DiffOut"]; children?: ReactNode }) {
  const changes = [...diff.changes].sort((a, b) => rank(a.direction) - rank(b.direction));
  return (
    <div className="grid gap-3">
      <p className="flex flex-wrap items-center gap-2">
        <DirectionChip direction={diff.direction} />
        <strong>{safety(changes)}</strong>
        {diff.approvers > 1 ? <Chip tone="warn">{diff.approvers} people</Chip> : null}
      </p>
      {diff.accounts.length > 0 ? (
        <ul className="grid gap-0.5 text-muted">
          {diff.accounts.map((one) => (
            <li key={one.account}>
              {one.account.split("/")[1]}: loosens {one.loosens}, tightens {one.tightens}, neutral {one.neutral}
            </li>
          ))}
        </ul>
      ) : null}
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
            { name: "Decided by", cell: (one) => <Deciding change={one} />, wide: true },
          ]}
        />
      ) : null}
      {children}
      {!children && diff.text ? (
        <details>
          <summary className="cursor-pointer text-muted max-desk:py-3">As text</summary>
          <Diff text={diff.text} />
        </details>
      ) : null}
    </div>
  );
}

/** The layers that decide a key, before and now. */
function Deciding({ change }: { change: Schemas["ChangeOut"] }) {
  const [before, now] = [
    layersOf(change.old_layers, change.old_file, change.old_line),
    layersOf(change.layers, change.file, change.line),
  ];
  return <span className="whitespace-nowrap text-muted">{before === now ? now : `${before} → ${now}`}</span>;
}

function layersOf(layers: readonly string[], file: string | null, line: number | null): string {
  const where = line === null ? "" : file === null || file === "document" ? ` line ${line}` : ` ${file}:${line}`;
  return layers.length === 0 ? "none" : `${layers.join(", ")}${where}`;
}

export function LayoutToggle({ to, layout }: { to: "/configs" | "/configs/$version"; layout: Layout }) {
  const look = (on: boolean) =>
    cx("inline-flex h-7 items-center rounded-control px-2", on ? "bg-raised" : "text-muted hover:text-fg");
  const link = (name: string, diff: "split" | undefined, on: boolean) => (
    <Link
      to={to as "/configs"}
      search={(before) => ({ ...before, diff }) as never}
      params={true as never}
      aria-current={on ? "true" : undefined}
      className={look(on)}
    >
      {name}
    </Link>
  );
  return (
    <span className="flex gap-1 max-tablet:hidden">
      {link("Unified", undefined, layout === "unified")}
      {link("Side by side", "split", layout === "split")}
    </span>
  );
}

/** What differs between two texts. */
export function TextDiff(props: {
  original: string;
  text: string;
  names: { original: string; text: string };
  layout: Layout;
}) {
  return (
    <Suspense fallback={<div className="h-40" />}>
      <YamlEditor
        key={`${props.names.original} ${props.names.text}`}
        original={props.original}
        start={props.text}
        names={props.names}
        layout={props.layout}
        readOnly
        folded
      />
    </Suspense>
  );
}

const STEP_TONES: Record<Step["state"], Tone> = {
  done: "accent",
  now: "warn",
  next: "plain",
  failed: "safety",
  "left out": "plain",
};

const STEP_LINES: Record<Step["state"], string> = {
  done: "border-accent",
  now: "border-warn",
  next: "border-line",
  failed: "border-safety",
  "left out": "border-line",
};

/** From the draft to the engine, with times and ids. */
export function Steps({ steps }: { steps: readonly Step[] }) {
  return (
    <ol aria-label="Its way into force" className="grid gap-2 desk:grid-flow-col desk:auto-cols-fr desk:gap-3">
      {steps.map((one) => (
        <li
          key={`${one.name} ${one.link?.account ?? one.said}`}
          data-step={one.name}
          data-state={one.state}
          className={cx(
            "grid content-start gap-0.5 max-desk:border-l-2 max-desk:pl-3 desk:border-t-2 desk:pt-2",
            STEP_LINES[one.state],
          )}
        >
          <span className="flex flex-wrap items-center gap-2">
            <span className={one.state === "left out" || one.state === "next" ? "text-muted" : "font-medium"}>
              {one.name}
            </span>
            <Chip tone={STEP_TONES[one.state]}>{one.state}</Chip>
          </span>
          {one.at ? <Time at={one.at} seconds /> : null}
          {one.said ? <span className="text-meta break-words text-muted">{one.said}</span> : null}
          {one.link?.to === "request" ? (
            <Link
              to="/approvals/$id"
              params={{ id: one.link.id }}
              className="text-meta break-all text-accent underline max-desk:py-3"
            >
              {one.link.id}
            </Link>
          ) : one.link ? (
            <code className="text-meta break-all text-muted">{one.link.id}</code>
          ) : null}
        </li>
      ))}
    </ol>
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
