import { useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Command } from "cmdk";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { give, type Instead, insteadOf, pointed, written } from "@/features/command";
import { type Ranked, rank } from "@/features/rank";
import { ApiProblem, answered, api, newKey, type Schemas } from "@/shared/api/client";
import {
  approvalsQuery,
  boardQuery,
  catalogueQuery,
  jobsQuery,
  proposalsQuery,
  runsQuery,
  versionsQuery,
} from "@/shared/api/queries";
import { serverNow } from "@/shared/clock";
import { getPrefs, type Prefs, setPrefs } from "@/shared/prefs";
import { Dialog } from "@/shared/ui/Dialog";
import { Time } from "@/shared/ui/Figure";
import { DESK, useMedia } from "@/shared/ui/media";
import { useConfirm } from "./confirming";
import { usePlaces } from "./Shell";
import { useScope } from "./scope";
import { offerUndo } from "./undo";

type Completion = Schemas["CompletionOut"];
type Item = Ranked & { name: string; note: ReactNode; mono?: boolean; act: () => void };
type Group = { title: string; items: Item[] };

/** Where somebody went from here, the newest first, as long as the page is open. */
let visited: string[] = [];

/** Everything by one line: nothing before it = where to go, `/` = a command, `@` an account, `#` an id, `?` help. */
export default function Palette({ start, onClose }: { start: string; onClose: () => void }) {
  const scope = useScope();
  const navigate = useNavigate();
  const show = useConfirm();
  const [text, setText] = useState(start);
  const [chosen, setChosen] = useState("");
  const [back, setBack] = useState(-1);
  const [told, setTold] = useState("");
  const client = useQueryClient();
  const isDesk = useMedia(DESK);
  const key = useRef(newKey());
  const input = useRef<HTMLInputElement>(null);
  const toLine = (event: Event) => {
    event.preventDefault(); // else it is the first control, which is halt
    input.current?.focus();
  };
  const { data: catalogue } = useQuery(catalogueQuery);
  const { data: history } = useQuery({
    queryKey: ["history"],
    queryFn: () => answered(api.GET("/api/v1/commands/history")),
    refetchInterval: false,
    staleTime: 0,
  });
  const commands = text.startsWith("/");
  const allowed = useMemo(() => catalogue?.commands.map((one) => one.name) ?? [], [catalogue]);
  const alias = written(text, catalogue?.aliases ?? {});
  const line = alias ?? text;
  const { data: completions } = useQuery({
    queryKey: ["complete", scope.firm, scope.account ?? "", line],
    queryFn: async () => ({
      of: line,
      found: await answered(
        api.GET("/api/v1/complete", {
          params: {
            query: { text: line, ...(scope.account ? { account: [`${scope.firm}/${scope.account}`] } : {}) },
          },
        }),
      ),
    }),
    enabled: line.startsWith("/"),
    placeholderData: (before) => before,
    refetchInterval: false,
  });

  const write = (next: string) => {
    setText(next);
    setChosen("");
    setTold("");
  };
  const type = (next: string) => {
    setBack(-1);
    write(next);
  };
  const go = (to: string, search?: Record<string, unknown>, as = to) => {
    visited = [as, ...visited.filter((one) => one !== as)].slice(0, 8);
    onClose();
    void navigate({ to, ...(search ? { search: (before: object) => ({ ...before, ...search }) as never } : {}) });
  };
  const act = useMutation({
    mutationFn: (command: string) => give(command, scope.firm, key.current),
    onSuccess: (given, command) => {
      // the arrow gives what was typed last, also before the server has told what it made of it
      const { command: said, klass } = given.kind === "done" ? { command, klass: "" } : given.preview;
      const last = { at: new Date(serverNow()).toISOString(), command: said, klass, outcome: "" };
      client.setQueryData(["history"], (before: Schemas["GivenOut"][] = []) => [last, ...before]);
      if (given.kind === "done") return after(given.done.data);
      onClose();
      show(given.preview);
    },
    onSettled: () => void client.invalidateQueries({ queryKey: ["history"], refetchType: "all" }),
  });
  // what is shown of it goes with its text, in the same frame: rows of before would take the place of the first
  const said = act.variables === text.trim() ? act : null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another text is another act
  useEffect(() => {
    act.reset();
    key.current = newKey();
  }, [text]);

  const shown = usePlaces();
  const ids = useIds(text.startsWith("#"));
  const { data: board } = useQuery({
    ...boardQuery(scope.firm, scope.account ?? ""),
    enabled: scope.account !== undefined,
    staleTime: 300_000,
  });
  const places: Item[] = [
    ...shown.map((one) => ({
      value: one.to,
      words: one.name.toLowerCase(),
      name: one.name,
      note: one.key && isDesk ? `g ${one.key}` : "",
      act: () => go(one.to),
    })),
    ...(scope.accounts ?? []).map((one) => ({
      value: `@${one.account_id}`,
      words: `${one.account} ${one.display_name ?? ""}`.toLowerCase(),
      name: `@${one.account_id}`,
      note: one.display_name ?? "",
      act: () => go("/overview", { account: one.account_id }, `@${one.account_id}`),
    })),
    ...(text === "" ? [] : (board?.rows ?? [])).map((one) => ({
      value: `/constraints/${one.rule_id}`,
      words: `${one.rule_id} ${one.title}`.toLowerCase(),
      name: one.rule_id,
      note: one.title,
      act: () => go(`/constraints/${one.rule_id}`),
    })),
  ];

  /** What an answer asks the screen to do. Everything of it can be taken back. */
  const after = (data: Record<string, unknown>) => {
    if (data.hide === "amounts") {
      const hides = getPrefs().amounts === "shown";
      become({ amounts: hides ? "hidden" : "shown" }, hides ? "Amounts are hidden." : "Amounts are shown.");
    }
    if (typeof data.theme === "string") become({ theme: data.theme as Prefs["theme"] }, `Theme: ${data.theme}.`);
    if (data.zone === "utc" || data.zone === "local") {
      become({ zone: data.zone }, data.zone === "utc" ? "Times are in UTC." : "Times are local.");
    }
    if (typeof data.job_id === "string") return go(`/runs/jobs/${data.job_id}`);
    const account = typeof data.account === "string" ? { account: data.account.split("/").at(-1) } : {};
    if (typeof data.route === "string") {
      const [from, to] = [data.from, data.to];
      if (data.route === "/configs" && typeof from === "number") {
        return go(`/configs/${typeof to === "number" ? to : from}`, account);
      }
      const rule = data.route === "/constraints" && typeof data.rule === "string" ? `/${data.rule}` : "";
      return go(`${data.route}${rule}`, account);
    }
    if (typeof data.to !== "string") return;
    if (data.to.startsWith("/")) go(data.to);
    else type(data.to); // an id or an account: what it is of is looked up here
  };
  const become = (more: Partial<Prefs>, said: string) => {
    const was = getPrefs();
    setPrefs(more);
    onClose();
    offerUndo(said, () => setPrefs(was));
  };

  const groups: Group[] = [];
  if (commands) {
    groups.push({
      title: "",
      items: [
        {
          value: "run",
          words: "",
          name: alias === null ? text : `${text} → ${alias}`,
          note: said?.isPending ? "asking…" : "Enter",
          mono: true,
          act: () => act.mutate(text.trim()),
        },
        ...completing(completions, line, write),
        ...aliases(text, catalogue?.aliases ?? {}, allowed, write),
      ],
    });
    const closed = completions?.of === line ? completions.found.find((one) => one.needs !== "")?.needs : undefined;
    const refused = said?.error instanceof ApiProblem && said.error.said.needs?.includes("role");
    const title = closed ?? (refused ? "Your role does not allow it" : "");
    if (title) groups.push({ title, items: around(line, insteadOf(line, allowed), write, go, setTold) });
  } else if (text.startsWith("@")) {
    const own = places.filter((one) => one.value.startsWith("@"));
    groups.push({ title: "Accounts", items: rank(text.slice(1), own, visited) });
  } else if (text.startsWith("#")) {
    const items = ids.map((one) => ({ ...one, act: () => go(one.to) }));
    groups.push({ title: "Ids, the newest first", items: rank(text.slice(1), items, visited) });
  } else if (text.startsWith("?")) {
    const all = (catalogue?.commands ?? []).map((one) => ({
      value: `h-${one.name}`,
      words: `${one.name} ${one.help}`.toLowerCase(),
      name: one.name,
      note: one.not_built ? "refused for now" : one.help,
      mono: true,
      act: () => type(`${one.name} `),
    }));
    groups.push({ title: "Commands", items: rank(text.slice(1), all) });
  } else if (text === "") {
    const lately = visited.flatMap((to) => places.find((one) => one.value === to) ?? []).slice(0, 4);
    groups.push({
      title: "Recent",
      items: [...lately.map((one) => ({ ...one, value: `r-${one.value}` })), ...given(history, type)],
    });
    groups.push({ title: "Go to", items: rank("", places) });
  } else {
    groups.push({ title: "", items: rank(text, places, visited) });
  }
  const rows = groups.filter((one) => one.items.length > 0);

  const past = (by: number) => {
    const next = Math.max(-1, Math.min(back + by, (history?.length ?? 0) - 1));
    setBack(next);
    write(next < 0 ? "" : (history?.[next]?.command ?? ""));
  };
  const problem = said?.error instanceof ApiProblem ? said.error : null;
  const at = problem?.said.at ?? null;
  const found = said?.data?.kind === "done" ? said.data.done : null;
  const listed: Item[] = ((found?.data.commands as { name: string; help: string }[] | undefined) ?? []).map((one) => ({
    value: `l-${one.name}`,
    words: "",
    name: one.name,
    note: one.help,
    mono: true,
    act: () => type(`${one.name} `),
  }));
  const there = rows.flatMap((group) => group.items.map((one) => one.value));
  // what was chosen may be gone with another text; then Enter is the first again
  const selected = [...there, ...listed.map((one) => one.value)].includes(chosen) ? chosen : (there[0] ?? "");
  return (
    <Dialog
      open
      onOpenChange={(open) => (open ? undefined : onClose())}
      title="Go to, or command"
      wide
      onOpenAutoFocus={toLine}
    >
      <Command
        label="Go to, or command"
        shouldFilter={false}
        filter={() => 1}
        loop
        value={selected}
        onValueChange={setChosen}
        onKeyDown={(event) => {
          const up = event.key === "ArrowUp" && (text === "" || back >= 0) && chosen === "" && history?.length;
          const down = event.key === "ArrowDown" && back >= 0 && chosen === "";
          if (!up && !down) return;
          event.preventDefault();
          past(up ? 1 : -1);
        }}
      >
        <Command.Input
          ref={input}
          value={text}
          onValueChange={type}
          placeholder="Overview, @account, #id, /halt …"
          spellCheck={false}
          autoComplete="off"
          className="h-11 w-full rounded-control border border-line bg-bg px-3 font-mono text-section outline-none focus-visible:border-accent"
        />
        {at !== null ? <Pointer text={text.trim()} at={at} /> : null}
        {said?.error ? (
          <p role="alert" className="px-1 py-1">
            {said.error.message}
            {problem?.said.suggestions?.length ? (
              <span className="text-muted"> Did you mean {problem.said.suggestions.join(", ")}?</span>
            ) : null}
          </p>
        ) : null}
        {told || found ? (
          <p role="status" className="px-1 py-1">
            {told || found?.said}
          </p>
        ) : null}
        <Command.List className="mt-2 max-h-[46dvh] overflow-y-auto">
          {listed.map((one) => (
            <Row key={one.value} item={one} />
          ))}
          {rows.map((group) =>
            group.title ? (
              <Command.Group key={group.title} heading={group.title} className="mb-2 text-meta text-muted">
                {group.items.map((one) => (
                  <Row key={one.value} item={one} />
                ))}
              </Command.Group>
            ) : (
              group.items.map((one) => <Row key={one.value} item={one} />)
            ),
          )}
          {rows.length === 0 ? (
            <p className="px-2 py-3 text-muted">
              {text.startsWith("#")
                ? "No run, job, request, proposal or version of the newest has that id."
                : "Nothing fits. / gives commands, @ accounts, # ids, ? help."}
            </p>
          ) : null}
        </Command.List>
        <p
          aria-hidden
          className="mt-2 flex flex-wrap gap-x-4 border-t border-line pt-2 text-meta text-muted max-tablet:hidden"
        >
          <span>/ command</span>
          <span>@ account</span>
          <span># id</span>
          <span>? help</span>
          <span>↑ what was typed before</span>
          <span className="ml-auto">Enter takes, Esc leaves</span>
        </p>
      </Command>
    </Dialog>
  );
}

function Row({ item }: { item: Item }) {
  return (
    <Command.Item
      value={item.value}
      onSelect={item.act}
      className="flex h-9 cursor-pointer items-center gap-3 rounded-control px-2 text-body text-fg data-[selected=true]:bg-raised max-desk:h-11"
    >
      <span className={item.mono ? "truncate font-mono" : "truncate"}>{item.name}</span>
      <span className="ml-auto shrink-0 truncate text-meta text-muted max-tablet:max-w-[45%]">{item.note}</span>
    </Command.Item>
  );
}

/** Where a line is wrong. */
function Pointer({ text, at }: { text: string; at: number }) {
  const { line, caret } = pointed(text, at);
  return (
    <pre aria-hidden data-caret={at} className="overflow-x-auto px-3 pt-1 font-mono text-section leading-4">
      {line}
      {"\n"}
      <span className="text-safety">{" ".repeat(caret)}^</span>
    </pre>
  );
}

/** What may stand there. Of the text before, while the line's own is on its way, only what the line still leads to. */
function completing(
  completions: { of: string; found: readonly Completion[] } | undefined,
  line: string,
  write: (text: string) => void,
): Item[] {
  const { of, found } = completions ?? { of: "", found: [] };
  const all = [...of]; // places are in code points
  return found.flatMap((one) => {
    const put = `${all.slice(0, one.start).join("")}${one.text}${all.slice(one.end).join("")}`;
    if (one.needs !== "" || (of !== line && !put.startsWith(line))) return [];
    return [
      {
        value: `c-${one.text}-${one.start}`,
        words: "",
        name: one.text,
        note: one.required ? `${one.help}, needed` : one.help,
        mono: true,
        act: () => write(one.what === "key" ? put : `${put} `),
      },
    ];
  });
}

function aliases(
  text: string,
  known: Readonly<Record<string, string>>,
  allowed: readonly string[],
  write: (text: string) => void,
): Item[] {
  return Object.entries(known)
    .filter(([old, now]) => text.length > 2 && `/${old}`.startsWith(text) && allowed.includes(`/${now}`))
    .map(([old, now]) => ({
      value: `a-${old}`,
      words: "",
      name: `/${old} → /${now}`,
      note: "another name",
      mono: true,
      act: () => write(`/${now} `),
    }));
}

/** What is left where a role is missing: to propose it, or to hand it to who has the role. */
function around(
  line: string,
  other: Instead | null,
  write: (text: string) => void,
  go: (to: string) => void,
  tell: (text: string) => void,
): Item[] {
  const instead: Item[] =
    other === null
      ? []
      : "page" in other
        ? [{ value: "instead", words: "", name: "Configuration", note: other.why, act: () => go(other.page) }]
        : [
            {
              value: "instead",
              words: "",
              name: other.command.trim(),
              note: other.why,
              mono: true,
              act: () => write(other.command),
            },
          ];
  return [
    ...instead,
    {
      value: "hand over",
      words: "",
      name: "Copy it for whoever has the role",
      note: "",
      act: () =>
        void navigator.clipboard.writeText(line).then(
          () => tell("Copied. It was not sent."),
          () => tell("This browser does not let it be copied."),
        ),
    },
  ];
}

/** One's own last commands: they are written again, never given again. */
function given(history: readonly Schemas["GivenOut"][] | undefined, write: (text: string) => void): Item[] {
  const once = new Map((history ?? []).toReversed().map((one) => [one.command, one]));
  return [...once.values()]
    .toReversed()
    .slice(0, 5)
    .map((one) => ({
      value: `g-${one.command}`,
      words: "",
      name: one.command,
      note: (
        <>
          {one.outcome} <Time at={one.at} />
        </>
      ),
      mono: true,
      act: () => write(one.command),
    }));
}

type Id = Ranked & { name: string; note: ReactNode; to: string; mono: true };

/** What has an id in the firm: runs, jobs, requests, proposals, versions; asked for when somebody looks for one. */
function useIds(wanted: boolean): Id[] {
  const { firm, whyNot } = useScope();
  const enabled = wanted && firm !== "";
  const [runs, jobs, requests, proposals, versions] = useQueries({
    queries: [
      { ...runsQuery(firm), enabled },
      { ...jobsQuery(firm), enabled },
      { ...approvalsQuery(firm), enabled },
      { ...proposalsQuery(firm), enabled },
      { ...versionsQuery(firm), enabled: enabled && whyNot("config.read") === "" },
    ],
  });
  return useMemo(() => {
    const one = (id: string, to: string, note: string): Id => ({
      value: to,
      words: `${id} ${note}`.toLowerCase(),
      name: `#${id}`,
      note,
      to,
      mono: true,
    });
    return [
      ...(runs.data?.items ?? []).map((run) => one(run.run_id, `/runs/${run.run_id}`, `${run.kind}, ${run.status}`)),
      ...(jobs.data?.items ?? []).map((job) =>
        one(job.job_id, `/runs/jobs/${job.job_id}`, `job, ${job.kind}, ${job.status}`),
      ),
      ...(requests.data ?? []).map((asked) =>
        one(asked.request_id, `/approvals/${asked.request_id}`, `request, ${asked.kind}, ${asked.status}`),
      ),
      ...(proposals.data?.items ?? []).map((made) =>
        one(made.proposal_id, `/basket/${made.proposal_id}`, `proposal, ${made.status}`),
      ),
      ...(versions.data?.items ?? []).map((made) =>
        one(`version-${made.version}`, `/configs/${made.version}`, `configuration, ${made.status}`),
      ),
    ];
  }, [runs.data, jobs.data, requests.data, proposals.data, versions.data]);
}
