import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { Refusal } from "@/features/act";
import { Factors, Password } from "@/features/factors";
import { OwnTokens } from "@/features/tokens";
import { answered, api } from "@/shared/api/client";
import { sessionQuery, sessionsQuery } from "@/shared/api/queries";
import { type Prefs, setPrefs, usePrefs } from "@/shared/prefs";
import { Button } from "@/shared/ui/Button";
import { Facts } from "@/shared/ui/Facts";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/settings")({ component: SettingsPage });

function SettingsPage() {
  return (
    <Page title="Settings">
      <div className="grid max-w-4xl gap-4">
        <Device />
        <You />
        <Factors />
        <Password />
        <Sessions />
        <OwnTokens />
        <About />
      </div>
    </Page>
  );
}

function Device() {
  const prefs = usePrefs();
  return (
    <Panel title="This device">
      <div className="grid gap-3">
        <Choice
          name="Theme"
          value={prefs.theme}
          of={["dark", "light", "system"]}
          set={(theme) => setPrefs({ theme })}
        />
        <Choice
          name="Time"
          value={prefs.zone}
          of={["utc", "local"]}
          says={{ utc: "UTC" }}
          set={(zone) => setPrefs({ zone })}
        />
        <Choice
          name="Numbers"
          value={prefs.numbers}
          of={["1,234.5", "1.234,5", "1 234.5", "1 234,5"]}
          set={(numbers) => setPrefs({ numbers })}
        />
        <Choice
          name="Amounts"
          value={prefs.amounts}
          of={["shown", "hidden"]}
          set={(amounts) => setPrefs({ amounts })}
        />
        <Choice
          name="Rows"
          value={prefs.density}
          of={["dense", "comfortable"]}
          set={(density) => setPrefs({ density })}
        />
        <p className="text-muted">
          Kept in this browser alone. Hidden amounts are hidden from who looks over your shoulder; percentages stay.
        </p>
      </div>
    </Panel>
  );
}

function You() {
  const { me } = useScope();
  const session = useQuery(sessionQuery);
  const leave = useMutation({
    mutationFn: () => answered(api.DELETE("/api/v1/session")),
    onSuccess: () => location.replace("/login"), // a new document: nothing of this one is left to ask or to show
  });
  return (
    <Panel
      title="You"
      aside={
        <Button disabled={leave.isPending || leave.isSuccess} onClick={() => leave.mutate()}>
          Sign out
        </Button>
      }
    >
      <Loaded query={session} height={60}>
        {(found) => (
          <div className="grid gap-1">
            <p>
              {found.name}, {found.login}
            </p>
            <ul className="text-muted">
              {me.roles.map((one) => (
                <li key={`${one.firm} ${one.role}`}>
                  {one.role} at {one.firm}
                  {one.accounts === null ? ", every account" : `: ${one.accounts.join(", ")}`}
                  {one.redact ? ", without amounts" : ""}
                </li>
              ))}
            </ul>
            {me.roles.length === 0 ? (
              <p className="text-muted">You have no role yet. An administrator of your firm gives you one.</p>
            ) : null}
            {leave.isError ? <Refusal error={leave.error} /> : null}
          </div>
        )}
      </Loaded>
    </Panel>
  );
}

function Sessions() {
  const queries = useQueryClient();
  const sessions = useQuery(sessionsQuery);
  const end = useMutation({
    mutationFn: (ids: readonly string[]) =>
      Promise.all(
        ids.map((session_id) =>
          answered(api.DELETE("/api/v1/me/sessions/{session_id}", { params: { path: { session_id } } })),
        ),
      ),
    onSettled: () => void queries.invalidateQueries({ queryKey: sessionsQuery.queryKey }),
  });
  const others = sessions.data?.filter((one) => !one.current).map((one) => one.session_id) ?? [];
  return (
    <Panel
      title="Where you are signed in"
      aside={
        others.length > 1 ? (
          <Button disabled={end.isPending} onClick={() => end.mutate(others)}>
            End every other one
          </Button>
        ) : null
      }
    >
      {end.isError ? <Refusal error={end.error} /> : null}
      <Loaded query={sessions} height={80}>
        {(rows) => (
          <ul className="grid gap-2">
            {rows.map((one) => (
              <li key={one.session_id} className="flex flex-wrap items-center gap-2">
                <span className="mr-auto min-w-0">
                  {browserOf(one.agent)}{" "}
                  <span className="text-muted">
                    {one.ip_prefix}, by {one.method.replaceAll("+", " and ").replaceAll("_", " ")}, since{" "}
                    <Time at={one.created_at} />, seen <Time at={one.seen_at} />
                  </span>
                </span>
                {one.current ? (
                  <span className="text-muted">this one</span>
                ) : (
                  <Button disabled={end.isPending} onClick={() => end.mutate([one.session_id])}>
                    End it
                  </Button>
                )}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Panel>
  );
}

/** A browser and a system by what a program calls itself; what is not known stays as it was said. */
function browserOf(agent: string): string {
  const browser = (["Edg", "OPR", "Firefox", "HeadlessChrome", "Chrome", "Safari"] as const).find((one) =>
    agent.includes(`${one}/`),
  );
  const system = ["Windows", "Android", "iPhone", "iPad", "Mac OS", "Linux"].find((one) => agent.includes(one));
  if (browser === undefined) return agent.slice(0, 60) || "An unknown program";
  const name = { Edg: "Edge", OPR: "Opera", HeadlessChrome: "Chrome without a window" }[browser as string] ?? browser;
  return system ? `${name} on ${system}` : name;
}

function About() {
  const { me } = useScope();
  const [version, build] = me.version.split("+");
  return (
    <Panel title="This program">
      <Facts
        of={[
          ["Version", version],
          ["Build", <code key="build">{build ?? "unknown"}</code>],
          ["Pages", <code key="pages">{pageBuild()}</code>],
        ]}
      />
    </Panel>
  );
}

/** The build of the pages: the hash in the name of their first file. */
function pageBuild(): string {
  const entry = document.querySelector<HTMLScriptElement>("script[type=module][src]")?.src ?? "";
  return /-([\w-]{8})\.js$/.exec(entry)?.[1] ?? "unknown";
}

type ChoiceProps<K extends Prefs[keyof Prefs]> = {
  name: string;
  value: K;
  of: readonly K[];
  says?: Partial<Record<K, string>>;
  set: (value: K) => void;
};

function Choice<K extends Prefs[keyof Prefs]>({ name, value, of, says, set }: ChoiceProps<K>) {
  return (
    <fieldset className="flex items-center gap-2">
      <legend className="float-left w-24 shrink-0 text-muted">{name}</legend>
      <div className="flex min-w-0 flex-1 flex-wrap gap-2">
        {of.map((one) => (
          <label
            key={one}
            className={`inline-flex h-8 cursor-pointer items-center rounded-control border px-3 has-focus-visible:outline-2 has-focus-visible:outline-accent max-desk:h-11 ${one === value ? "border-accent" : "border-line text-muted"}`}
          >
            <input type="radio" name={name} checked={one === value} onChange={() => set(one)} className="sr-only" />
            {says?.[one] ?? one}
          </label>
        ))}
      </div>
    </fieldset>
  );
}
