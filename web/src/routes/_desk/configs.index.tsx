import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link, useBlocker, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { DirectionChip, Effective, Findings, VERSION_TONES } from "@/features/configs";
import type { Mark } from "@/features/YamlEditor";
import { answered, api, newKey, type Schemas } from "@/shared/api/client";
import { configSchemaQuery, currentConfigQuery, versionsQuery } from "@/shared/api/queries";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

const YamlEditor = lazy(() => import("@/features/YamlEditor"));

export const Route = createFileRoute("/_desk/configs/")({ component: Configs });

function Configs() {
  const { firm } = useScope();
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
                <Editor key={etag} document={data.document} base={data.base_version} etag={etag} />
              )}
            </div>
          )}
        </Loaded>
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

function Editor({ document, base, etag }: { document: string; base: number; etag: string }) {
  const { firm, whyNot } = useScope();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [text, setText] = useState(document);
  const [settled, setSettled] = useState(document);
  const [generation, setGeneration] = useState(0);
  const [reason, setReason] = useState("");
  const key = useRef(newKey());
  const changed = text !== document;
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  useBlocker({
    shouldBlockFn: () => changed && !window.confirm("Leave? What you changed here is not kept."),
    enableBeforeUnload: () => changed,
  });
  const schema = useQuery(configSchemaQuery(firm));
  const names = useMemo(() => namesOf(schema.data), [schema.data]);
  const compared = useQuery({
    queryKey: ["configs", firm, "compare", settled],
    queryFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/configs/compare", { params: { path: { firm } }, body: { document: settled } }),
      ),
    enabled: settled !== document,
    placeholderData: (before) => before,
    refetchInterval: false,
    retry: false,
  });
  const marks: Mark[] = useMemo(
    () =>
      settled === document
        ? []
        : (compared.data?.findings ?? []).map((one) => ({
            line: one.line ?? 1,
            column: one.column,
            message: `${one.path}: expected ${one.expected}, found ${one.found}`,
          })),
    [compared.data, settled, document],
  );
  const keep = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/configs/drafts", {
          params: { path: { firm }, header: { "If-Match": etag, "Idempotency-Key": key.current } },
          body: { base_version: base, document: text, reason: reason.trim() },
        }),
      ),
    onSuccess: async (made) => {
      setText(document);
      await queries.invalidateQueries({ queryKey: ["configs"] });
      void navigate({ to: "/configs/$version", params: { version: String(made.version) }, ignoreBlocker: true });
    },
    onError: () => {
      key.current = newKey();
    },
  });
  const why = whyNot("config.draft") || undefined;
  const wrong = marks.length > 0;
  return (
    <Panel
      title="Edit"
      aside={
        <Button
          disabled={!changed}
          onClick={() => {
            setText(document);
            setGeneration(generation + 1);
          }}
        >
          Take back
        </Button>
      }
    >
      <div className="grid gap-3" data-unsaved={changed}>
        <Suspense fallback={<div className="h-96" />}>
          <YamlEditor
            key={generation}
            original={document}
            start={document}
            marks={marks}
            names={names}
            readOnly={Boolean(why)}
            onChange={setText}
          />
        </Suspense>
        {changed && compared.data ? <Effective diff={compared.data} /> : null}
        {changed && compared.isError ? <p role="alert">{compared.error.message}</p> : null}
        {changed ? (
          <form
            className="flex flex-wrap items-end gap-2"
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
                maxLength={500}
                onChange={(event) => setReason(event.target.value)}
                className="h-9 rounded-control border border-line bg-raised px-2 max-desk:h-11"
              />
            </label>
            <Button
              type="submit"
              kind="primary"
              why={why ?? (wrong ? "The document is refused: see its lines." : undefined)}
              disabled={keep.isPending}
            >
              Keep as a draft
            </Button>
          </form>
        ) : null}
        {keep.isError ? (
          <p role="alert" className="text-warn">
            {keep.error.message}
          </p>
        ) : null}
      </div>
    </Panel>
  );
}

/** Every key that a document may have, for completion; which one may stand where is the server's to say. */
function namesOf(schema: unknown): string[] {
  const found = new Set<string>();
  const look = (node: unknown): void => {
    if (Array.isArray(node)) node.forEach(look);
    else if (node !== null && typeof node === "object") {
      const { properties } = node as { properties?: Record<string, unknown> };
      for (const name of Object.keys(properties ?? {})) found.add(name);
      Object.values(node).forEach(look);
    }
  };
  look(schema);
  return [...found].sort();
}

const VERSIONS: readonly Column<Schemas["VersionOut"]>[] = [
  {
    name: "Version",
    cell: (one) => (
      <Link to="/configs/$version" params={{ version: String(one.version) }} className="text-accent hover:underline">
        {one.version}
      </Link>
    ),
  },
  { name: "Status", cell: (one) => <Chip tone={VERSION_TONES[one.status] ?? "unknown"}>{one.status}</Chip> },
  { name: "Does", cell: (one) => <DirectionChip direction={one.direction} /> },
  { name: "Why", cell: (one) => one.reason || one.detail },
  { name: "By", cell: (one) => one.author, wide: true },
  { name: "Made", cell: (one) => <Time at={one.created_at} />, wide: true },
];
