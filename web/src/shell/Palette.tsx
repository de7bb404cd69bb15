import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Command } from "cmdk";
import { useDeferredValue, useEffect, useRef, useState } from "react";
import { give } from "@/features/command";
import { ApiProblem, answered, api, newKey, type Schemas } from "@/shared/api/client";
import { catalogueQuery } from "@/shared/api/queries";
import { setPrefs } from "@/shared/prefs";
import { Dialog } from "@/shared/ui/Dialog";
import { useConfirm } from "./confirming";
import { PLACES } from "./Shell";
import { useScope } from "./scope";

/** More than anybody reads; the rest comes with another letter. */
const MOST = 50;

type Completion = Schemas["CompletionOut"];

/** Everything by one line: nothing before it = where to go, `/` = a command, `@` = an account, `?` = help. */
export default function Palette({ start, onClose }: { start: string; onClose: () => void }) {
  const scope = useScope();
  const navigate = useNavigate();
  const show = useConfirm();
  const [text, setText] = useState(start === "?" ? "?" : start);
  const [back, setBack] = useState(-1);
  const key = useRef(newKey());
  const line = useRef<HTMLInputElement>(null);
  const asked = useDeferredValue(text);
  const commands = text.startsWith("/");
  const { data: completions } = useQuery({
    queryKey: ["complete", scope.firm, scope.account ?? "", asked],
    queryFn: () =>
      answered(
        api.GET("/api/v1/complete", {
          params: {
            query: { text: asked, ...(scope.account ? { account: [`${scope.firm}/${scope.account}`] } : {}) },
          },
        }),
      ),
    enabled: asked.startsWith("/"),
    placeholderData: (before) => before,
    refetchInterval: false,
  });
  const { data: history } = useQuery({
    queryKey: ["history"],
    queryFn: () => answered(api.GET("/api/v1/commands/history")),
    refetchInterval: false,
  });
  const act = useMutation({
    mutationFn: () => give(text.trim(), scope.firm, key.current),
    onSuccess: (given) => {
      if (given.kind === "done") return after(given.done.data);
      onClose();
      show(given.preview);
    },
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another text is another act
  useEffect(() => {
    act.reset();
    key.current = newKey();
  }, [text]);

  const after = (data: Record<string, unknown>) => {
    if (typeof data.theme === "string" && data.theme) setPrefs({ theme: data.theme as "dark" });
    if (typeof data.zone === "string") setPrefs({ zone: data.zone === "local" ? "local" : "utc" });
    if ("amounts" in data) setPrefs({ amounts: "hidden" });
    if (typeof data.job_id === "string") {
      onClose();
      void navigate({ to: "/runs/jobs/$id", params: { id: data.job_id } });
    }
    if (typeof data.to === "string" && PLACES.some((one) => one.to === `/${data.to}`)) {
      onClose();
      void navigate({ to: `/${data.to}` });
    }
  };
  const go = (to: string, search?: Record<string, string>) => {
    onClose();
    void navigate({ to, ...(search ? { search: (before: object) => ({ ...before, ...search }) as never } : {}) });
  };

  const problem = act.error instanceof ApiProblem ? act.error : null;
  const at = problem?.said.at ?? null;
  const words = text.toLowerCase();
  const places = commands || /^[@?]/.test(text) ? [] : PLACES.filter((one) => one.name.toLowerCase().includes(words));
  const found = (scope.accounts ?? []).filter(
    (one) => !commands && !text.startsWith("?") && one.account.includes(words.replace(/^@/, "")),
  );
  const accounts = found.slice(0, MOST);
  const fill = (one: Completion) => setText(`${text.slice(0, one.start)}${one.text}${text.slice(one.end)}`.trimStart());

  return (
    <Dialog
      open
      onOpenChange={(open) => (open ? undefined : onClose())}
      title="Go to, or command"
      wide
      onOpenAutoFocus={(event) => {
        event.preventDefault(); // not to the way to a halt: one types at once
        line.current?.focus();
      }}
    >
      <Command
        label="Go to, or command"
        shouldFilter={false}
        filter={() => 1}
        loop
        onKeyDown={(event) => {
          if (event.key === "ArrowUp" && (text === "" || back >= 0) && history?.length) {
            event.preventDefault();
            const next = Math.min(back + 1, history.length - 1);
            setBack(next);
            setText(history[next]?.command ?? "");
          }
        }}
      >
        <Command.Input
          ref={line}
          value={text}
          onValueChange={(value) => {
            setBack(-1);
            setText(value);
          }}
          placeholder="Overview, @account, /halt …"
          spellCheck={false}
          autoComplete="off"
          className="h-11 w-full rounded-control border border-line bg-bg px-3 font-mono text-section outline-none focus-visible:border-accent"
        />
        {at !== null ? (
          <pre aria-hidden className="overflow-hidden px-3 font-mono text-section leading-4 text-safety">
            {" ".repeat(at)}^
          </pre>
        ) : null}
        {problem ? (
          <p role="alert" className="px-1 py-1">
            {problem.message}
            {problem.said.suggestions?.length ? (
              <span className="text-muted"> Did you mean {problem.said.suggestions.join(", ")}?</span>
            ) : null}
          </p>
        ) : null}
        {act.error && !problem ? (
          <p role="alert" className="px-1 py-1">
            {act.error.message}
          </p>
        ) : null}
        {act.data?.kind === "done" ? (
          <p role="status" className="px-1 py-1">
            {act.data.done.said}
          </p>
        ) : null}
        <Command.List className="mt-2 max-h-[46dvh] overflow-y-auto">
          {commands ? (
            <Row
              value="run"
              onSelect={() => act.mutate()}
              name={text}
              note={act.isPending ? "asking…" : "Enter"}
              mono
            />
          ) : null}
          {commands
            ? completions?.map((one) => (
                <Row
                  key={`${one.text}-${one.start}`}
                  value={`c-${one.text}`}
                  onSelect={() => fill(one)}
                  name={one.text}
                  note={one.needs || one.help}
                  mono
                />
              ))
            : null}
          {places.map((one) => (
            <Row
              key={one.to}
              value={one.to}
              onSelect={() => go(one.to)}
              name={one.name}
              note={one.key ? `g ${one.key}` : ""}
            />
          ))}
          {accounts.map((one) => (
            <Row
              key={one.account}
              value={one.account}
              onSelect={() => go("/overview", { account: one.account_id })}
              name={`@${one.account_id}`}
              note={one.display_name ?? ""}
            />
          ))}
          {found.length > MOST ? (
            <p className="px-2 py-1 text-meta text-muted">{found.length - MOST} more: type on to find them.</p>
          ) : null}
          {text === "" || text === "?" ? <Help onPick={setText} /> : null}
        </Command.List>
      </Command>
    </Dialog>
  );
}

function Row(props: { value: string; onSelect: () => void; name: string; note: string; mono?: boolean }) {
  return (
    <Command.Item
      value={props.value}
      onSelect={props.onSelect}
      className="flex h-9 cursor-pointer items-center gap-3 rounded-control px-2 data-[selected=true]:bg-raised max-desk:h-11"
    >
      <span className={props.mono ? "truncate font-mono" : "truncate"}>{props.name}</span>
      <span className="ml-auto truncate text-meta text-muted">{props.note}</span>
    </Command.Item>
  );
}

function Help({ onPick }: { onPick: (text: string) => void }) {
  const { data } = useQuery(catalogueQuery);
  return (
    <Command.Group heading="Commands" className="mt-2 text-meta text-muted">
      {data?.commands.map((one) => (
        <Row
          key={one.name}
          value={`h-${one.name}`}
          onSelect={() => onPick(`${one.name} `)}
          name={one.name}
          note={one.not_built ? "refused for now" : one.help}
          mono
        />
      ))}
    </Command.Group>
  );
}
