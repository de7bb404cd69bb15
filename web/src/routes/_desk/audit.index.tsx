import { useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute, Link, useNavigate } from "@tanstack/react-router";
import { useCallback, useState } from "react";
import { Exports } from "@/features/exports";
import { Proof, ProofLine } from "@/features/proof";
import {
  entriesAsked,
  KIND_WORDS,
  kindWords,
  placeIn,
  placeOf,
  type RecordSearch,
  recordSearch,
  SEVERITY_TONES,
} from "@/features/record";
import { Registers } from "@/features/registers";
import type { Schemas } from "@/shared/api/client";
import { entriesQuery } from "@/shared/api/queries";
import { money } from "@/shared/format/numbers";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { cx } from "@/shared/ui/cx";
import { SelectField, TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Failed, Loaded, Panel } from "@/shared/ui/Panel";
import { Rows } from "@/shared/ui/Rows";
import { useScope } from "@/shell/scope";

type Row = Schemas["EntryRow"];
const TABS = [
  [undefined, "Entries"],
  ["registers", "Registers"],
  ["proof", "Proof"],
  ["exports", "Exports"],
] as const;

export const Route = createFileRoute("/_desk/audit/")({ validateSearch: recordSearch, component: Audit });

function Audit() {
  const { whyNot } = useScope();
  const search = Route.useSearch();
  const why = whyNot("audit.read");
  if (why) {
    return (
      <Page title="Audit">
        <Empty>{why} The record is read by an analyst, a PM or an administrator.</Empty>
      </Page>
    );
  }
  return (
    <Page
      title="Audit"
      aside={
        <nav aria-label="Parts of the record" className="flex flex-wrap gap-1">
          {TABS.map(([tab, name]) => (
            <Link
              key={name}
              to="/audit"
              search={withTab(search, tab)}
              aria-current={tab === search.tab ? "page" : undefined}
              className={cx(
                "inline-flex h-8 items-center rounded-control border px-3 max-desk:h-11",
                tab === search.tab ? "border-accent" : "border-line text-muted hover:text-fg",
              )}
            >
              {name}
            </Link>
          ))}
        </nav>
      }
    >
      <div className="grid gap-4">
        {search.tab === "proof" ? <Proof /> : null}
        {search.tab === "exports" ? <Exports /> : null}
        {search.tab === "registers" ? (
          <>
            <Filters key={JSON.stringify(search)} search={search} only={["of", "from", "to"]} />
            <Registers search={search} />
          </>
        ) : null}
        {search.tab === undefined ? (
          <>
            <Panel title="How far it is proved">
              <ProofLine />
            </Panel>
            <Filters key={JSON.stringify(search)} search={search} />
            <Entries search={search} />
          </>
        ) : null}
      </div>
    </Page>
  );
}

function withTab(search: RecordSearch, tab: RecordSearch["tab"]): RecordSearch {
  const { tab: _, ...rest } = search;
  return tab ? { ...rest, tab } : rest;
}

const EVERY: readonly (keyof RecordSearch)[] = ["kind", "of", "actor", "rule", "id", "run", "chain", "from", "to"];
const FIELD = "grow basis-[42%] tablet:max-w-60 tablet:basis-26";
const NAMES: Partial<Record<keyof RecordSearch, string>> = {
  actor: "Actor",
  rule: "Rule",
  id: "Id or hash it says",
  run: "Run",
  from: "From (UTC day)",
  to: "To (UTC day)",
};

/** What is looked for; all of it goes into the address. */
function Filters({ search, only = EVERY }: { search: RecordSearch; only?: typeof EVERY }) {
  const { ids } = useScope();
  const navigate = useNavigate();
  const [typed, setTyped] = useState(search);
  const [wrong, setWrong] = useState("");
  const set = only.filter((name) => search[name]);
  const [more, setMore] = useState(only.length < EVERY.length || set.some((name) => name !== "kind" && name !== "of"));
  const look = (asked: RecordSearch) => {
    const filled = Object.fromEntries(Object.entries(asked).filter(([, value]) => value));
    const at = placeIn(String(filled.id ?? ""));
    if (at !== null) {
      void navigate({ to: "/audit/$", params: { _splat: placeOf(at) } });
      return;
    }
    const kept = recordSearch(filled);
    const lost = Object.keys(filled).filter((name) => !(name in kept));
    setWrong(lost.map((name) => NAMES[name as keyof RecordSearch] ?? name).join(", "));
    if (lost.length === 0) void navigate({ to: "/audit", search: kept });
  };
  const text = (name: "actor" | "rule" | "id" | "run" | "from" | "to") =>
    only.includes(name) ? (
      <TextField
        label={NAMES[name] ?? name}
        type={name === "from" || name === "to" ? "date" : "text"}
        spellCheck={false}
        autoComplete="off"
        value={(typed[name] ?? "").slice(0, name === "from" || name === "to" ? 10 : undefined)}
        onValue={(value) => setTyped({ ...typed, [name]: name === "rule" ? value.toUpperCase().trim() : value.trim() })}
        className={cx(FIELD, !more && "max-tablet:hidden")}
      />
    ) : null;
  return (
    <search>
      <form
        aria-label="Filters"
        className="flex flex-wrap items-end gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          look(typed);
        }}
      >
        {only.includes("kind") ? (
          <SelectField
            label="Kind"
            className={FIELD}
            value={typed.kind ?? ""}
            onValue={(kind) => look({ ...typed, kind })}
            of={[["", "every kind"], ...Object.entries(KIND_WORDS)]}
          />
        ) : null}
        <SelectField
          label="Account"
          className={FIELD}
          value={typed.of ?? ""}
          onValue={(of) => look({ ...typed, of })}
          of={[
            ["", "everything"],
            ...ids.map((one) => [one, one] as const),
            ...(only.includes("kind") ? ([["_firm", "the firm's own acts"]] as const) : []),
          ]}
        />
        {text("rule")}
        {text("actor")}
        {text("run")}
        {text("id")}
        {text("from")}
        {text("to")}
        <div className="flex gap-2">
          {more ? null : (
            <Button className="tablet:hidden" onClick={() => setMore(true)}>
              More filters
            </Button>
          )}
          <Button type="submit" className={cx("h-9", !more && "max-tablet:hidden")}>
            Look
          </Button>
          {set.length > 0 ? (
            <Link
              to="/audit"
              search={withTab(search.register ? { register: search.register } : {}, search.tab)}
              className="inline-flex h-9 items-center rounded-control px-3 text-muted hover:bg-raised hover:text-fg max-desk:h-11"
            >
              Clear {set.length === 1 ? "the filter" : `${set.length} filters`}
            </Link>
          ) : null}
        </div>
        {wrong ? (
          <p role="alert" className="w-full text-warn">
            {wrong}: not of a form that the record has.
          </p>
        ) : null}
        {search.chain ? (
          <p className="w-full text-muted">
            Only chain <code className="break-all">{search.chain}</code>.
          </p>
        ) : null}
      </form>
    </search>
  );
}

function Entries({ search }: { search: RecordSearch }) {
  const { firm } = useScope();
  const query = useInfiniteQuery({ ...entriesQuery(firm, entriesAsked(firm, search)), enabled: firm !== "" });
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const rows = query.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Panel
      title="Entries, the newest first"
      aside={
        query.data ? (
          <span role="status" className="text-meta text-muted">
            {money(rows.length)} {hasNextPage ? "so far, more as you scroll" : "in all"}
          </span>
        ) : null
      }
    >
      <Loaded
        query={query as never}
        height={600}
        empty={{ when: () => rows.length === 0, why: "No audit events match. Clear filters or widen the window." }}
      >
        {() => (
          <>
            <Rows
              label="Entries of the record"
              rows={rows}
              height={33}
              narrow={57}
              onEnd={more}
              row={(one) => <EntryLine row={one} />}
            />
            {query.isFetchNextPageError ? <Failed error={query.error as Error} retry={more} /> : null}
          </>
        )}
      </Loaded>
    </Panel>
  );
}

function EntryLine({ row }: { row: Row }) {
  const whose = row.account.endsWith("/_firm") ? (row.about?.split("/")[1] ?? "the firm") : row.account.split("/")[1];
  return (
    <Link
      to="/audit/$"
      params={{ _splat: placeOf(row.place) }}
      className="grid h-full grid-cols-[minmax(0,1fr)_auto] content-center items-center gap-x-3 hover:bg-raised/50 tablet:grid-cols-[165px_150px_110px_minmax(0,1fr)]"
    >
      <span className="text-muted">
        <Time at={row.recorded_at} />
      </span>
      <span className="min-w-0">
        <Chip tone={SEVERITY_TONES[row.severity] ?? "plain"}>{kindWords(row.event_type)}</Chip>
      </span>
      <span className="truncate text-muted max-tablet:hidden">{whose}</span>
      <span className="truncate max-tablet:col-span-2" title={row.rationale}>
        <span className="text-muted tablet:hidden">{whose} · </span>
        {row.rationale}
      </span>
    </Link>
  );
}
