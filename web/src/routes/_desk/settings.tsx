import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import { answered, api } from "@/shared/api/client";
import { sessionQuery } from "@/shared/api/queries";
import { type Prefs, setPrefs, usePrefs } from "@/shared/prefs";
import { Button } from "@/shared/ui/Button";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/settings")({ component: SettingsPage });

function SettingsPage() {
  const { me } = useScope();
  const prefs = usePrefs();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const session = useQuery(sessionQuery);
  const sessions = useQuery({ queryKey: ["sessions"], queryFn: () => answered(api.GET("/api/v1/me/sessions")) });
  const leave = useMutation({
    mutationFn: () => answered(api.DELETE("/api/v1/session")),
    onSuccess: () => {
      queries.clear();
      void navigate({ to: "/login" });
    },
  });
  const end = useMutation({
    mutationFn: (session_id: string) =>
      answered(api.DELETE("/api/v1/me/sessions/{session_id}", { params: { path: { session_id } } })),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["sessions"] }),
  });
  return (
    <Page title="Settings">
      <div className="grid max-w-3xl gap-4">
        <Panel title="This device">
          <div className="grid gap-3">
            <Choice
              name="Theme"
              value={prefs.theme}
              of={["dark", "light", "system"]}
              set={(theme) => setPrefs({ theme })}
            />
            <Choice name="Time" value={prefs.zone} of={["utc", "local"]} set={(zone) => setPrefs({ zone })} />
            <Choice
              name="Amounts"
              value={prefs.amounts}
              of={["shown", "hidden"]}
              set={(amounts) => setPrefs({ amounts })}
            />
          </div>
        </Panel>
        <Panel title="You" aside={<Button onClick={() => leave.mutate()}>Sign out</Button>}>
          <Loaded query={session} height={60}>
            {(found) => (
              <div className="grid gap-1">
                <p>
                  {found.name}, {found.login}
                </p>
                <p className="text-muted">
                  {me.roles
                    .map(
                      (one) => `${one.role} at ${one.firm}${one.accounts ? ` (${one.accounts.length} accounts)` : ""}`,
                    )
                    .join(", ")}
                </p>
                <p className="text-muted">
                  {found.factors.length > 0 ? `Second factors: ${found.factors.join(", ")}.` : "No second factor."}{" "}
                  Version {me.version}.
                </p>
              </div>
            )}
          </Loaded>
        </Panel>
        <Panel title="Where you are signed in">
          <Loaded query={sessions} height={80}>
            {(rows) => (
              <ul className="grid gap-2">
                {rows.map((one) => (
                  <li key={one.session_id} className="flex flex-wrap items-center gap-2">
                    <span className="mr-auto min-w-0">
                      {one.agent.slice(0, 80) || "an unknown program"}{" "}
                      <span className="text-muted">
                        {one.ip_prefix}, seen <Time at={one.seen_at} />
                      </span>
                    </span>
                    {one.current ? (
                      <span className="text-muted">this one</span>
                    ) : (
                      <Button onClick={() => end.mutate(one.session_id)}>End it</Button>
                    )}
                  </li>
                ))}
              </ul>
            )}
          </Loaded>
        </Panel>
      </div>
    </Page>
  );
}

type ChoiceProps<K extends Prefs[keyof Prefs]> = { name: string; value: K; of: readonly K[]; set: (value: K) => void };

function Choice<K extends Prefs[keyof Prefs]>({ name, value, of, set }: ChoiceProps<K>) {
  return (
    <fieldset className="flex flex-wrap items-center gap-2">
      <legend className="float-left w-24 text-muted">{name}</legend>
      {of.map((one) => (
        <label
          key={one}
          className={`inline-flex h-8 cursor-pointer items-center rounded-control border px-3 has-focus-visible:outline-2 has-focus-visible:outline-accent max-desk:h-11 ${one === value ? "border-accent" : "border-line text-muted"}`}
        >
          <input type="radio" name={name} checked={one === value} onChange={() => set(one)} className="sr-only" />
          {one === "utc" ? "UTC" : one}
        </label>
      ))}
    </fieldset>
  );
}
