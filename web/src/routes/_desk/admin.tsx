import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { AskFirst, Once, Proven, useAct } from "@/features/act";
import { AccountChecks, Checks, TokenList } from "@/features/tokens";
import { answered, api, type Schemas } from "@/shared/api/client";
import { firmTokensQuery, peopleQuery, personQuery } from "@/shared/api/queries";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { SelectField, TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

type Member = Schemas["MemberOut"];
type Grant = Schemas["GrantOut"];
type Role = Schemas["Role"];
const ROLES: readonly (readonly [Role, string])[] = [
  ["viewer", "viewer: sees"],
  ["analyst", "analyst: sees, drafts, runs, pauses"],
  ["pm", "pm: trades, asks, agrees"],
  ["admin", "admin: people, exports, agrees"],
];

export const Route = createFileRoute("/_desk/admin")({
  validateSearch: (said: Record<string, unknown>): { person?: string } =>
    typeof said.person === "string" && /^usr-[a-z0-9]{1,40}$/.test(said.person) ? { person: said.person } : {},
  component: People,
});

function People() {
  const { firm, whyNot } = useScope();
  const { person } = Route.useSearch();
  const hidden = whyNot("user.read");
  const query = useQuery({ ...peopleQuery(firm), enabled: firm !== "" && hidden === "" });
  const why = whyNot("user.manage") || undefined;
  if (hidden) {
    return (
      <Page title="People">
        <Empty>{hidden} People are shown to a PM and to an administrator.</Empty>
      </Page>
    );
  }
  return (
    <Page title="People">
      <div className="grid gap-4">
        <Panel title={`Who works for ${firm}`}>
          {why ? <p className="text-muted">You see who there is. An administrator changes it.</p> : null}
          <Loaded query={query} height={240}>
            {(rows) => <Table label="People of the firm" columns={COLUMNS} rows={rows} keyOf={(one) => one.user_id} />}
          </Loaded>
        </Panel>
        {person ? <Person key={person} id={person} why={why} /> : null}
        {why ? null : <Invite />}
        {why ? null : <FirmTokens />}
      </div>
    </Page>
  );
}

const COLUMNS: readonly Column<Member>[] = [
  {
    name: "Login",
    cell: (one) => (
      <Link to="/admin" search={{ person: one.user_id }} className="font-medium text-accent hover:underline">
        {one.login}
      </Link>
    ),
  },
  { name: "Name", cell: (one) => one.name, wide: true },
  { name: "Roles", cell: (one) => one.roles.map(roleWords).join(", ") || <span className="text-muted">none</span> },
  {
    name: "Second factor",
    cell: (one) => (one.second_factor ? "yes" : <span className="text-warn">none</span>),
    wide: true,
  },
  { name: "State", cell: (one) => <StateOf member={one} /> },
];

/** A role and what it covers. */
function roleWords({ role, accounts, redact }: Grant): string {
  const over = accounts === null ? "" : ` over ${accounts.map((one) => one.split("/")[1]).join(", ")}`;
  return `${role}${over}${redact ? ", without amounts" : ""}`;
}

function StateOf({ member }: { member: Member }) {
  if (member.disabled_at !== null) return <Chip tone="warn">disabled</Chip>;
  return member.invited ? <Chip>invited</Chip> : <Chip tone="accent">active</Chip>;
}

function Person({ id, why }: { id: string; why: string | undefined }) {
  const { firm, me } = useScope();
  const queries = useQueryClient();
  const query = useQuery(personQuery(firm, id));
  const place = useRef<HTMLDivElement>(null);
  const [drops, setDrops] = useState<readonly "factors"[]>([]);
  const [done, setDone] = useState("");
  useEffect(() => place.current?.scrollIntoView({ block: "nearest" }), []);
  const changed = (said: string) => {
    setDone(said);
    void queries.invalidateQueries({ queryKey: ["people"] });
  };
  const path = { firm, user_id: id };
  return (
    <div ref={place}>
      <Panel
        title={query.data?.data.login ?? "Somebody"}
        aside={
          <Link to="/admin" search={{}} className="text-muted hover:text-fg">
            Close
          </Link>
        }
      >
        <Loaded query={query} height={200}>
          {({ data: member, etag }) => {
            const header = (key: string) => ({ "If-Match": etag, "Idempotency-Key": key });
            const isMe = member.user_id === me.user_id ? "This is you." : undefined;
            return (
              <div className="grid gap-4">
                <p className="flex flex-wrap items-center gap-2">
                  {member.name} <StateOf member={member} />
                  <span className="text-muted">
                    {member.disabled_at ? (
                      <>
                        since <Time at={member.disabled_at} />,{" "}
                      </>
                    ) : null}
                    {member.second_factor ? "with a second factor" : "without a second factor"}
                  </span>
                </p>
                {done ? <p role="status">{done}</p> : null}
                <section aria-label="Roles" className="grid gap-2">
                  <h3 className="font-medium">Roles</h3>
                  {member.roles.length === 0 ? (
                    <p className="text-muted">None: nothing of the firm is shown to them.</p>
                  ) : null}
                  <ul className="grid gap-2">
                    {member.roles.map((one) => (
                      <li key={one.role} className="flex flex-wrap items-center gap-2">
                        <span className="mr-auto">
                          {roleWords(one)}
                          {one.accounts === null ? <span className="text-muted"> over every account</span> : null}
                        </span>
                        <AskFirst
                          name="Take away"
                          title={`Take ${one.role} from ${member.login}`}
                          verb="Take it away"
                          kind="safety"
                          why={why}
                          lines={[
                            "It ends at once, in every session and for every token of theirs.",
                            "What they asked for stays; where it is to be carried out, they must still be allowed to.",
                          ]}
                          act={(key) =>
                            answered(
                              api.DELETE("/api/v1/firms/{firm}/users/{user_id}/roles/{role}", {
                                params: { path: { ...path, role: one.role }, header: header(key) },
                              }),
                            )
                          }
                          onDone={() => changed(`${member.login} is no longer ${one.role}.`)}
                        />
                      </li>
                    ))}
                  </ul>
                  {why ? null : (
                    <GiveRole
                      login={member.login}
                      give={(body, key) =>
                        answered(
                          api.PUT("/api/v1/firms/{firm}/users/{user_id}/roles", {
                            params: { path, header: header(key) },
                            body,
                          }),
                        )
                      }
                      onDone={(role) => changed(`${member.login} is ${role} now.`)}
                    />
                  )}
                </section>
                <section aria-label="Coming in" className="flex flex-wrap gap-2 border-t border-line pt-3">
                  {member.disabled_at === null ? (
                    <AskFirst
                      name="Disable"
                      title={`Keep ${member.login} out`}
                      verb="Disable"
                      kind="safety"
                      why={why ?? isMe}
                      lines={[
                        "Their sessions end and their tokens are refused. Their roles stay, for when they come back.",
                      ]}
                      act={(key) =>
                        answered(
                          api.POST("/api/v1/firms/{firm}/users/{user_id}/disable", {
                            params: { path, header: header(key) },
                          }),
                        )
                      }
                      onDone={() => changed(`${member.login} is kept out.`)}
                    />
                  ) : (
                    <AskFirst
                      name="Enable"
                      title={`Let ${member.login} in again`}
                      verb="Enable"
                      why={why}
                      lines={["They come in as before, with the roles above."]}
                      act={(key) =>
                        answered(
                          api.POST("/api/v1/firms/{firm}/users/{user_id}/enable", {
                            params: { path, header: header(key) },
                          }),
                        )
                      }
                      onDone={() => changed(`${member.login} is let in again.`)}
                    />
                  )}
                  <AskFirst
                    name="Reset"
                    title={`Reset the password of ${member.login}`}
                    verb="Make a link"
                    why={why}
                    lines={[
                      "You get a link with which they set another password. It works once, and is shown this once.",
                    ]}
                    act={(key) =>
                      answered(
                        api.POST("/api/v1/firms/{firm}/users/{user_id}/reset", {
                          params: { path, header: { "Idempotency-Key": key } },
                          body: { drop_factors: drops.length > 0 },
                        }),
                      )
                    }
                    onDone={() => changed("")}
                    shown={({ link }) => <GiveLink link={link} />}
                  >
                    <Checks
                      name="Where they lost them"
                      of={[["factors", "take their second factors away too"]]}
                      checked={drops}
                      onChecked={setDrops}
                    />
                  </AskFirst>
                  <AskFirst
                    name="Sign out everywhere"
                    title={`Sign ${member.login} out everywhere`}
                    verb="Sign out"
                    why={why ?? isMe}
                    lines={["Every session of theirs ends. They may sign in again; tokens go on."]}
                    act={(key) =>
                      answered(
                        api.DELETE("/api/v1/firms/{firm}/users/{user_id}/sessions", {
                          params: { path },
                          headers: { "Idempotency-Key": key },
                        }),
                      )
                    }
                    shown={({ ended }) => (
                      <p role="status">{ended === 1 ? "One session" : `${ended} sessions`} ended.</p>
                    )}
                  />
                </section>
                <p className="text-muted">
                  What was done to them is in the{" "}
                  <Link to="/audit" search={{ kind: "ACCESS" }} className="text-accent underline">
                    record
                  </Link>
                  , by pseudonym.
                </p>
              </div>
            );
          }}
        </Loaded>
      </Panel>
    </div>
  );
}

function GiveLink({ link }: { link: string }) {
  return (
    <div role="alert" className="grid gap-2">
      <p>Give them this link yourself; it works once, and is shown this once.</p>
      <Once name="the link" text={link} />
    </div>
  );
}

type Given = Schemas["GrantIn"];

/** A role, over which accounts, with or without amounts. */
function useGrant() {
  const { firm, ids } = useScope();
  const [role, setRole] = useState<Role>("viewer");
  const [over, setOver] = useState<readonly string[] | null>(null);
  const [redact, setRedact] = useState<readonly "redact"[]>([]);
  const grant: Given = {
    role,
    accounts: over === null ? null : over.map((one) => `${firm}/${one}`),
    redact: redact.length > 0,
  };
  const fields = (
    <div className="grid gap-2">
      <SelectField label="Role" value={role} onValue={setRole} of={ROLES} className="max-w-80" />
      <AccountChecks ids={ids} over={over} onOver={setOver} all="every account, those to come too" />
      <Checks name="Shown" of={[["redact", "leave amounts of money out"]]} checked={redact} onChecked={setRedact} />
    </div>
  );
  return { grant, fields, whole: over === null || over.length > 0 };
}

type GiveProps = {
  login: string;
  give: (body: Given, key: string) => Promise<unknown>;
  onDone: (role: Role) => void;
};

function GiveRole({ login, give, onDone }: GiveProps) {
  const { grant, fields, whole } = useGrant();
  const act = useAct(give, (_, body) => onDone(body.role));
  return (
    <details>
      <summary className="cursor-pointer py-1 text-accent">Give {login} a role, or change what one covers</summary>
      <div className="grid gap-3 pt-2">
        {fields}
        {act.said}
        <div>
          <Button kind="primary" disabled={!whole || act.pending || act.proves} onClick={() => act.run(grant)}>
            {act.pending ? "Sent, waiting for the server" : `Give ${grant.role}`}
          </Button>
        </div>
      </div>
    </details>
  );
}

function Invite() {
  const { firm } = useScope();
  const queries = useQueryClient();
  const [login, setLogin] = useState("");
  const [name, setName] = useState("");
  const { grant, fields, whole } = useGrant();
  const invite = useAct(
    (body: Schemas["UserIn"], key) =>
      answered(
        api.POST("/api/v1/firms/{firm}/users", {
          params: { path: { firm }, header: { "Idempotency-Key": key } },
          body,
        }),
      ),
    () => {
      setLogin("");
      setName("");
      void queries.invalidateQueries({ queryKey: ["people"] });
    },
  );
  return (
    <Panel title="Add somebody">
      <form
        className="grid gap-3"
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          invite.run({ ...grant, login: login.trim(), name: name.trim() });
        }}
      >
        <div className="flex flex-wrap items-end gap-3">
          <TextField label="Login" required value={login} onValue={setLogin} autoComplete="off" autoCapitalize="none" />
          <TextField label="Name" required value={name} onValue={setName} autoComplete="off" />
        </div>
        {fields}
        {invite.said}
        {invite.data ? <GiveLink link={invite.data.link} /> : null}
        <div>
          <Button type="submit" kind="primary" disabled={!login.trim() || !name.trim() || !whole || invite.pending}>
            Make a link
          </Button>
        </div>
      </form>
    </Panel>
  );
}

function FirmTokens() {
  const { firm } = useScope();
  const [open, setOpen] = useState(false);
  return (
    <Panel title={`Everybody's API tokens at ${firm}`}>
      {open ? (
        <Proven>
          <AllTokens />
        </Proven>
      ) : (
        <Button onClick={() => setOpen(true)}>Show them</Button>
      )}
    </Panel>
  );
}

function AllTokens() {
  const { firm } = useScope();
  const query = useQuery(firmTokensQuery(firm));
  const people = useQuery(peopleQuery(firm));
  const nameOf = (user: string) => people.data?.find((one) => one.user_id === user)?.login ?? user;
  return (
    <Loaded query={query} height={60} empty={{ when: (d) => d.length === 0, why: "Nobody has one here." }}>
      {(tokens) => (
        <TokenList
          tokens={tokens.map((one) => ({ ...one, name: `${one.name} of ${nameOf(one.user_id)}` }))}
          revoke={(one) =>
            answered(
              api.DELETE("/api/v1/firms/{firm}/tokens/{token_id}", {
                params: { path: { firm, token_id: one.token_id } },
              }),
            )
          }
        />
      )}
    </Loaded>
  );
}
