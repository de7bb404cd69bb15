import { useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute, Link, useNavigate } from "@tanstack/react-router";
import { type ReactNode, useCallback, useRef, useState } from "react";
import { DecisionDetail } from "@/features/DecisionDetail";
import { OutcomeChip } from "@/features/decisions";
import {
  KINDS,
  OUTCOMES,
  openOf,
  type StreamSearch,
  streamOf,
  streamSearch,
  type Told,
  URGENT,
  wordsOf,
} from "@/features/stream";
import { pastDecisionsQuery } from "@/shared/api/queries";
import { nsToIso } from "@/shared/format/time";
import type { Frame } from "@/shared/live/socket";
import { type Row, useLive } from "@/shared/live/store";
import { Button } from "@/shared/ui/Button";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { Dialog } from "@/shared/ui/Dialog";
import { SelectField, TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Failed, Loaded, Panel } from "@/shared/ui/Panel";
import { Rows } from "@/shared/ui/Rows";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/actions")({ validateSearch: streamSearch, component: Actions });

function Actions() {
  const { firm, chosen, live } = useScope();
  const search = Route.useSearch();
  const told = useLive(live);
  const [paused, setPaused] = useState(false);
  const [away, setAway] = useState(false);
  const [turn, setTurn] = useState(0); // another one: the window begins at its top again
  const held = useRef<{ rows: readonly Row[]; count: number } | null>(null);
  if (!paused && !away) held.current = null;
  else held.current ??= { rows: told.rows, count: told.count };
  const since = held.current ? told.count - held.current.count : 0;
  const urgent = held.current
    ? told.rows.slice(0, since).filter((row) => "frame" in row && URGENT.has(row.frame.type))
    : [];
  const past = useInfiniteQuery({
    ...pastDecisionsQuery(firm, {
      ...(chosen ? { account: `${firm}/${chosen}` } : {}),
      ...(search.rule ? { rule_id: search.rule } : {}),
      ...(search.outcome ? { outcome: search.outcome } : {}),
    }),
    enabled: firm !== "",
  });
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = past;
  const wantsPast = search.kind === undefined || search.kind === "pm.action";
  const more = useCallback(() => {
    if (wantsPast && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [wantsPast, hasNextPage, isFetchingNextPage, fetchNextPage]);
  const rows = streamOf(
    [...urgent, ...(held.current?.rows ?? told.rows)],
    past.data?.pages.flatMap((page) => page.items) ?? [],
    search,
    chosen ? `${firm}/${chosen}` : "",
  );
  const goOn = () => {
    setPaused(false);
    setAway(false);
    setTurn(turn + 1);
  };
  return (
    <Page
      title="Actions"
      aside={
        <Button onClick={() => (paused || away ? goOn() : setPaused(true))} aria-pressed={paused || away}>
          {paused || away ? `Go on (${since} new)` : "Pause"}
        </Button>
      }
    >
      <div className="grid gap-4">
        <Filters key={search.rule ?? ""} search={search} />
        <Panel
          title={chosen ? `What is decided and done for ${chosen}` : "What is decided and done"}
          aside={
            <span className="text-meta text-muted">
              {paused ? "paused" : away ? "held while you read" : `${told.count} since this page was opened`}
            </span>
          }
        >
          <Loaded
            query={past as never}
            height={600}
            empty={{
              when: () => rows.length === 0,
              why: wantsPast ? (
                "No decisions in this window. Take a filter away, or wait: what is decided comes here by itself."
              ) : (
                <>
                  Nothing of this kind since this page was opened. What was before is in the{" "}
                  <Link to="/audit" className="text-accent underline">
                    record
                  </Link>
                  .
                </>
              ),
            }}
          >
            {() => (
              <>
                <Rows
                  key={turn}
                  label="What is decided and done, the newest first"
                  rows={rows}
                  height={33}
                  narrow={57}
                  onEnd={more}
                  onAway={setAway}
                  row={(one) => <Line told={one} search={search} />}
                />
                {past.isFetchNextPageError ? <Failed error={past.error as Error} retry={more} /> : null}
              </>
            )}
          </Loaded>
        </Panel>
      </div>
      {search.open ? <Opened search={search} open={search.open} /> : null}
    </Page>
  );
}

function Filters({ search }: { search: StreamSearch }) {
  const { ids, chosen } = useScope();
  const navigate = useNavigate();
  const [rule, setRule] = useState(search.rule ?? "");
  const [wrong, setWrong] = useState(false);
  const look = (asked: Record<string, string | undefined>, account = chosen) => {
    const filled = Object.fromEntries(Object.entries({ ...search, ...asked }).filter(([, value]) => value));
    const kept = streamSearch(filled);
    setWrong(filled.rule !== undefined && kept.rule === undefined);
    if (filled.rule === undefined || kept.rule !== undefined)
      void navigate({ to: "/actions", search: { ...kept, account: account || undefined } as StreamSearch });
  };
  return (
    <search>
      <form
        aria-label="Filters"
        className="grid grid-cols-2 items-end gap-3 tablet:grid-cols-4"
        onSubmit={(event) => {
          event.preventDefault();
          look({ rule: rule.trim().toUpperCase() });
        }}
      >
        <SelectField
          label="Account"
          value={chosen ?? ""}
          onValue={(one) => look({}, one)}
          of={[["", "every account"], ...ids.map((one) => [one, one] as const)]}
        />
        <SelectField
          label="Kind"
          value={search.kind ?? ""}
          onValue={(kind) => look({ kind })}
          of={[["", "everything"], ...Object.entries(KINDS).map(([type, [name]]) => [type, name] as const)]}
        />
        <SelectField
          label="Decision"
          value={search.outcome ?? ""}
          onValue={(outcome) => look({ outcome })}
          of={[["", "any"], ...OUTCOMES.map((one) => [one, one.replaceAll("_", " ")] as const)]}
        />
        <TextField
          label="Rule, then Enter"
          value={rule}
          onValue={setRule}
          onBlur={() => rule.trim().toUpperCase() !== (search.rule ?? "") && look({ rule: rule.trim().toUpperCase() })}
          placeholder="VT-01"
          spellCheck={false}
          autoComplete="off"
        />
        {wrong ? (
          <p role="alert" className="col-span-full text-warn">
            Not the name of a rule: two letters and a number, as in VT-01.
          </p>
        ) : null}
      </form>
    </search>
  );
}

function Line({ told, search }: { told: Told; search: StreamSearch }) {
  if (told.kind === "gap") return <p className="flex h-full items-center text-warn">{told.text}</p>;
  if (told.kind === "past") {
    const { row } = told;
    return (
      <Slot
        search={search}
        open={openOf(row.account, row.decision_id)}
        at={row.as_of}
        account={row.account}
        said={row.rationale}
      >
        <OutcomeChip outcome={row.outcome} />
      </Slot>
    );
  }
  const { frame } = told;
  const [name, tone] = KINDS[frame.type] ?? [frame.type, "plain" as Tone];
  return (
    <Slot
      search={search}
      open={openOf(frame.account ?? "", decisionIn(frame))}
      at={nsToIso(frame.type === "pm.action" ? frame.data.ts_event_ns : frame.ts)}
      account={frame.account ?? ""}
      said={wordsOf(frame)}
    >
      {frame.type === "pm.action" ? <OutcomeChip outcome={frame.data.outcome} /> : <Chip tone={tone}>{name}</Chip>}
    </Slot>
  );
}

/** The decision that a message tells of, or follows from. */
function decisionIn(frame: Frame): string | null {
  const said = (frame.data as { decision_id?: string }).decision_id;
  return said && /^[0-9a-f]{64}$/.test(said) ? said : null;
}

type SlotProps = {
  search: StreamSearch;
  open: string | undefined;
  at: string;
  account: string;
  said: string;
  children: ReactNode;
};

function Slot({ search, open, at, account, said, children }: SlotProps) {
  const look =
    "grid h-full w-full grid-cols-[minmax(0,1fr)_auto] content-center items-center gap-x-3 text-left tablet:grid-cols-[165px_100px_110px_minmax(0,1fr)]";
  const cells = (
    <>
      <span className="text-muted">
        <Time at={at} />
      </span>
      <span>{children}</span>
      <span className="truncate text-muted max-tablet:hidden">{account.split("/")[1] ?? ""}</span>
      <span className="truncate max-tablet:col-span-2" title={said}>
        {account ? <span className="text-muted tablet:hidden">{account.split("/")[1]} · </span> : null}
        {said}
      </span>
    </>
  );
  return open === undefined ? (
    <div className={look}>{cells}</div>
  ) : (
    <Link to="/actions" search={{ ...search, open }} className={`${look} hover:bg-raised/50`} resetScroll={false}>
      {cells}
    </Link>
  );
}

function Opened({ search, open }: { search: StreamSearch; open: string }) {
  const navigate = useNavigate();
  const [account = "", id = ""] = open.split(".");
  const { open: _, ...rest } = search;
  return (
    <Dialog
      open
      onOpenChange={(isOpen) =>
        isOpen ? undefined : void navigate({ to: "/actions", search: rest, resetScroll: false })
      }
      title={`Decision for ${account}`}
      wide
    >
      <DecisionDetail account={account} id={id} />
    </Dialog>
  );
}
