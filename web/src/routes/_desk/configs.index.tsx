import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link, useBlocker, useNavigate } from "@tanstack/react-router";
import { Suspense, useEffect, useMemo, useRef, useState } from "react";
import { DirectionChip, Effective, Findings, LayoutToggle, VERSION_TONES, YamlEditor } from "@/features/configs";
import { KeyChanges } from "@/features/KeyChanges";
import { searchOf, useLayout } from "@/features/layout";
import { TryText } from "@/features/whatif";
import type { Mark } from "@/features/YamlEditor";
import { ApiProblem, answered, api, newKey, type Schemas, Unreachable } from "@/shared/api/client";
import { configDiffQuery, configSchemaQuery, currentConfigQuery, versionsQuery } from "@/shared/api/queries";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Dialog } from "@/shared/ui/Dialog";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";
import { offerUndo } from "@/shell/undo";

export const Route = createFileRoute("/_desk/configs/")({ validateSearch: searchOf, component: Configs });

function Configs() {
  const { firm } = useScope();
  const { keys = "" } = Route.useSearch();
  const current = useQuery({ ...currentConfigQuery(firm), enabled: firm !== "" });
  const versions = useQuery({ ...versionsQuery(firm), enabled: firm !== "" });
  return (
    <Page title="Configuration">
      <div className="grid gap-4">
        <Loaded query={current} height={300}>
          {({ data, etag }) => (
            <div className="grid gap-4">
              <InForce current={data} />
              {data.document === null ? (
                <Panel title="Document">
                  <p className="text-muted">Your role sees versions and what they do, not the document.</p>
                </Panel>
              ) : (
                <Editor
                  key={firm}
                  now={{ document: data.document, number: data.base_version, etag }}
                  by={data.version}
                />
              )}
            </div>
          )}
        </Loaded>
        <KeyChanges keys={keys} />
        <Panel title="Versions">
          <Loaded
            query={versions}
            height={200}
            empty={{
              when: (d) => d.items.length === 0,
              why: "Only the file is there; its first version is taken in with the next look.",
            }}
          >
            {(data) => (
              <Table
                label="Versions, the newest first"
                columns={VERSIONS}
                rows={data.items}
                keyOf={(one) => String(one.version)}
              />
            )}
          </Loaded>
        </Panel>
      </div>
    </Page>
  );
}

function InForce({ current }: { current: Schemas["CurrentOut"] }) {
  const { accounts } = useScope();
  return (
    <Panel
      title={current.version ? `Version ${current.version.version} is in force` : "The file is in force"}
      aside={current.version ? <Time at={current.version.applied_at} /> : null}
    >
      <div className="grid gap-2">
        {current.version ? (
          <p className="text-muted">
            {current.version.author === "file" ? "Found in the file" : `By ${current.version.author}`}
            {current.version.reason ? `: ${current.version.reason}` : ""}.{" "}
            <Link
              to="/configs/$version"
              params={{ version: String(current.version.version) }}
              className="text-accent underline"
            >
              Who, when and why
            </Link>
          </p>
        ) : null}
        {current.drift !== "none" ? (
          <p role="status" className={current.drift === "refused" ? "text-safety" : "text-warn"}>
            {current.drift === "refused"
              ? "The file was changed by hand and is refused; the last good configuration holds."
              : "The file was changed by hand and taken in."}
          </p>
        ) : null}
        <Findings found={current.findings} />
        <ul className="grid gap-1">
          {current.accounts.map((one) => {
            const seen = accounts?.find((account) => account.account === one.account);
            const loaded = seen?.last_decision?.config_hash;
            return (
              <li key={one.account} className="flex flex-wrap items-center gap-2">
                <span className="font-medium">{one.account}</span>
                <code className="text-meta text-muted">{one.config_hash.slice(0, 12)}</code>
                {loaded === undefined ? (
                  <Chip tone="unknown">nothing was decided under it yet</Chip>
                ) : loaded === one.config_hash ? (
                  <Chip tone="accent">loaded by the engine</Chip>
                ) : (
                  <Chip tone="warn">the engine still decided under {loaded.slice(0, 12)}</Chip>
                )}
              </li>
            );
          })}
        </ul>
      </div>
    </Panel>
  );
}

const PAUSE_MS = 500;
type Base = { document: string; number: number; etag: string };

/** The text somebody writes, on the version it was begun on; it stays whatever becomes of that. */
function Editor({ now, by }: { now: Base; by: Schemas["VersionOut"] | null }) {
  const { firm, whyNot } = useScope();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const layout = useLayout(Route.useSearch());
  const [base, setBase] = useState(now);
  const [start, setStart] = useState({ text: now.document, n: 0 });
  const [text, setText] = useState(now.document);
  const [settled, setSettled] = useState(now.document);
  const [reason, setReason] = useState("");
  const key = useRef(newKey());
  const changed = text !== base.document;
  const moved = now.etag !== base.etag;

  const begin = (on: Base, with_: string) => {
    setBase(on);
    setStart((before) => ({ text: with_, n: before.n + 1 })); // also from an undo, which knows an older one
    setText(with_);
    setSettled(with_);
  };
  if (moved && !changed) begin(now, now.document);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const leaving = useBlocker({
    shouldBlockFn: ({ current, next }) =>
      changed &&
      (current.pathname !== next.pathname ||
        (current.search as { firm?: string }).firm !== (next.search as { firm?: string }).firm),
    enableBeforeUnload: () => changed,
    withResolver: true,
  });

  const schema = useQuery(configSchemaQuery(firm));
  const compared = useQuery({
    queryKey: ["configs", firm, "compare", now.etag, settled],
    queryFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/configs/compare", { params: { path: { firm } }, body: { document: settled } }),
      ),
    enabled: settled !== base.document,
    placeholderData: (before) => before,
    refetchInterval: false,
    retry: false,
  });
  const marks: Mark[] = useMemo(
    () =>
      settled === base.document
        ? []
        : (compared.data?.findings ?? []).map((one) => ({
            line: one.line ?? 1,
            column: one.column,
            message: `${one.path}: expected ${one.expected}, found ${one.found}`,
          })),
    [compared.data, settled, base.document],
  );
  const keep = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/configs/drafts", {
          params: { path: { firm }, header: { "If-Match": base.etag, "Idempotency-Key": key.current } },
          body: { base_version: base.number, document: text, reason: reason.trim() },
        }),
      ),
    onSuccess: async (made) => {
      void navigate({ to: "/configs/$version", params: { version: String(made.version) }, ignoreBlocker: true });
      await queries.invalidateQueries({ queryKey: ["configs"] });
    },
    onError: (error) => {
      if (!(error instanceof Unreachable)) key.current = newKey();
      if (isConflict(error)) void queries.invalidateQueries({ queryKey: ["configs", firm, "current"] });
    },
  });
  const why = whyNot("config.draft") || undefined;
  const refused = marks.length > 0 ? "The document is refused: see its lines." : undefined;
  const stale = moved ? "Another version is in force by now: put your text on it first." : undefined;
  const takeBack = () => {
    const [was, on] = [text, base];
    begin(now, now.document);
    keep.reset();
    offerUndo("Your text is taken back.", () => begin(on, was));
  };
  return (
    <Panel
      title="Edit"
      aside={
        <>
          <LayoutToggle to="/configs" layout={layout} />
          <Button disabled={!changed} onClick={takeBack}>
            Take it all back
          </Button>
        </>
      }
    >
      <div className="grid gap-3" data-unsaved={changed}>
        {changed && moved ? (
          <Moved from={base.number} to={now.number} by={by} text={text} onRebase={() => begin(now, text)} />
        ) : null}
        <Suspense fallback={<div className="h-96" />}>
          <YamlEditor
            key={start.n}
            original={base.document}
            start={start.text}
            layout={layout}
            marks={marks}
            schema={schema.data}
            readOnly={Boolean(why)}
            names={{ original: `Version ${base.number}, in force`, text: "Configuration as YAML" }}
            onChange={setText}
          />
        </Suspense>
        {changed && compared.data ? <Effective diff={compared.data} /> : null}
        {changed && compared.isError ? <p role="alert">{compared.error.message}</p> : null}
        {changed ? (
          <>
            <section aria-label="What if" className="grid gap-2">
              <h3 className="font-semibold">What if</h3>
              <TryText document={text} why={why ?? refused} />
            </section>
            <form
              className="flex flex-wrap items-end gap-2 border-t border-line pt-3"
              onSubmit={(event) => {
                event.preventDefault();
                keep.mutate();
              }}
            >
              <label className="grid min-w-60 flex-1 gap-1">
                <span className="text-meta text-muted">Why</span>
                <input
                  value={reason}
                  required
                  maxLength={400}
                  onChange={(event) => setReason(event.target.value)}
                  className="h-9 rounded-control border border-line bg-raised px-2 max-desk:h-11"
                />
              </label>
              <Button type="submit" kind="primary" why={why ?? stale ?? refused} disabled={keep.isPending}>
                Keep as a draft
              </Button>
            </form>
            {(why ?? stale ?? refused) ? <p className="text-meta text-warn">{why ?? stale ?? refused}</p> : null}
          </>
        ) : null}
        {keep.isError && !(isConflict(keep.error) && moved) ? (
          <p role="alert" className="text-warn">
            {keep.error instanceof Unreachable
              ? "Unknown whether it was kept: your text is still here; send it again, it is kept once."
              : keep.error.message}
          </p>
        ) : null}
      </div>
      <Dialog
        open={leaving.status === "blocked"}
        onOpenChange={(open) => (open ? undefined : leaving.reset?.())}
        title="Leave without keeping it?"
      >
        <div className="grid gap-4">
          <p>What you wrote here is kept nowhere else.</p>
          <div className="flex flex-wrap justify-end gap-2">
            <Button onClick={() => leaving.reset?.()}>Stay</Button>
            <Button kind="safety" onClick={() => leaving.proceed?.()}>
              Leave
            </Button>
          </div>
        </div>
      </Dialog>
    </Panel>
  );
}

function isConflict(error: Error | null): boolean {
  return error instanceof ApiProblem && (error.status === 409 || error.status === 412);
}

/** Somebody else's version came into force under an edit: what it changed, and the text put on it by hand. */
function Moved(props: {
  from: number;
  to: number;
  by: Schemas["VersionOut"] | null;
  text: string;
  onRebase: () => void;
}) {
  const { firm } = useScope();
  const { from, to, by, text } = props;
  const diff = useQuery({ ...configDiffQuery(firm, from, to), enabled: from > 0 && to > 0 && from !== to });
  return (
    <section aria-label="Changed meanwhile" className="grid gap-3 rounded-control border border-warn px-3 py-2">
      <p role="alert">
        <strong className="text-warn">
          {to === from ? "The file was changed by hand" : `Version ${to} came into force`} while you were writing.
        </strong>{" "}
        {by && to !== from ? (
          <>
            By {by.author}, <Time at={by.applied_at} seconds />
            {by.reason ? `: ${by.reason}` : ""}.{" "}
          </>
        ) : null}
        Your text is here as you left it.
      </p>
      {diff.isEnabled ? (
        <Loaded query={diff} height={80}>
          {(found) => <Effective diff={found} />}
        </Loaded>
      ) : null}
      <div className="flex flex-wrap items-center gap-2">
        <Button kind="primary" onClick={props.onRebase}>
          Put my text on version {to}
        </Button>
        <Button onClick={() => void navigator.clipboard.writeText(text)}>Copy my text</Button>
        <span className="text-muted">
          Then your text is shown against version {to}: what it has and yours has not is marked, to be taken back line
          by line.
        </span>
      </div>
    </section>
  );
}

const VERSIONS: readonly Column<Schemas["VersionOut"]>[] = [
  {
    name: "Version",
    cell: (one) => (
      <Link
        to="/configs/$version"
        params={{ version: String(one.version) }}
        className="inline-flex min-w-6 items-center text-accent hover:underline max-desk:h-11 max-desk:min-w-11"
      >
        {one.version}
      </Link>
    ),
  },
  { name: "Status", cell: (one) => <Chip tone={VERSION_TONES[one.status] ?? "unknown"}>{one.status}</Chip> },
  { name: "Does", cell: (one) => <DirectionChip direction={one.direction} /> },
  { name: "Why", cell: (one) => one.reason || one.detail || (one.author === "file" ? "found in the file" : "") },
  { name: "By", cell: (one) => one.author, wide: true },
  { name: "Made", cell: (one) => <Time at={one.created_at} />, wide: true },
  { name: "Applied", cell: (one) => (one.applied_at ? <Time at={one.applied_at} /> : "not yet"), wide: true },
];
