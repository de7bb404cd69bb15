import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { type FormEvent, useRef, useState } from "react";
import { StepUp } from "@/features/StepUp";
import { ApiProblem, answered, api, newKey, type Schemas } from "@/shared/api/client";
import { peopleQuery } from "@/shared/api/queries";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { SelectField, TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

type Member = Schemas["MemberOut"];
type Role = Schemas["Role"];
const ROLES: readonly Role[] = ["viewer", "analyst", "pm", "admin"];

export const Route = createFileRoute("/_desk/admin")({ component: People });

function People() {
  const { firm, whyNot } = useScope();
  const query = useQuery({ ...peopleQuery(firm), enabled: firm !== "" });
  const why = whyNot("user.manage") || undefined;
  return (
    <Page title="People">
      <div className="grid gap-4">
        <Panel title={`Who works for ${firm}`}>
          <Loaded query={query} height={240}>
            {(rows) => <Table label="People of the firm" columns={COLUMNS} rows={rows} keyOf={(one) => one.user_id} />}
          </Loaded>
        </Panel>
        <Invite why={why} />
      </div>
    </Page>
  );
}

const COLUMNS: readonly Column<Member>[] = [
  { name: "Login", cell: (one) => <span className="font-medium">{one.login}</span> },
  { name: "Name", cell: (one) => one.name, wide: true },
  {
    name: "Roles",
    cell: (one) =>
      one.roles
        .map((grant) => `${grant.role}${grant.accounts === null ? "" : ` (${grant.accounts.length})`}`)
        .join(", "),
  },
  {
    name: "Second factor",
    cell: (one) => (one.second_factor ? "yes" : <span className="text-warn">none</span>),
    wide: true,
  },
  {
    name: "State",
    cell: (one) =>
      one.disabled_at !== null ? (
        <Chip tone="warn">
          disabled <Time at={one.disabled_at} />
        </Chip>
      ) : one.invited ? (
        <Chip>invited</Chip>
      ) : (
        <Chip tone="accent">active</Chip>
      ),
  },
  { name: "Sessions", cell: (one) => <Acts member={one} />, right: true },
];

function Acts({ member }: { member: Member }) {
  const { firm, whyNot, me } = useScope();
  const queries = useQueryClient();
  const why = whyNot("user.manage") || (member.user_id === me.user_id ? "This is you." : "") || undefined;
  const end = useMutation({
    mutationFn: () =>
      answered(
        api.DELETE("/api/v1/firms/{firm}/users/{user_id}/sessions", {
          params: { path: { firm, user_id: member.user_id } },
        }),
      ),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["people"] }),
  });
  return (
    <span className="inline-flex items-center gap-2">
      {end.isError ? <span role="alert">{end.error.message}</span> : null}
      {end.isSuccess ? <span role="status">signed out</span> : null}
      <Button
        why={why}
        disabled={end.isPending}
        onClick={() => end.mutate()}
        aria-label={`Sign ${member.login} out everywhere`}
      >
        Sign out everywhere
      </Button>
    </span>
  );
}

function Invite({ why }: { why: string | undefined }) {
  const { firm } = useScope();
  const queries = useQueryClient();
  const [login, setLogin] = useState("");
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [proves, setProves] = useState(false);
  const key = useRef(newKey());
  const invite = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/users", {
          params: { path: { firm }, header: { "Idempotency-Key": key.current } },
          body: { login: login.trim(), name: name.trim(), role, accounts: null, redact: false },
        }),
      ),
    onSuccess: () => {
      key.current = newKey();
      void queries.invalidateQueries({ queryKey: ["people"] });
    },
    onError: (error) => {
      key.current = newKey();
      setProves(error instanceof ApiProblem && error.code === "step_up");
    },
  });
  return (
    <Panel title="Add somebody">
      <form
        className="grid gap-3"
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          invite.mutate();
        }}
      >
        <div className="flex flex-wrap items-end gap-3">
          <TextField label="Login" required value={login} onValue={setLogin} autoComplete="off" />
          <TextField label="Name" required value={name} onValue={setName} autoComplete="off" />
          <SelectField label="Role over every account" value={role} onValue={setRole} of={ROLES} />
          <Button type="submit" kind="primary" why={why} disabled={invite.isPending} className="h-9">
            Make a link
          </Button>
        </div>
        {proves ? (
          <StepUp
            onDone={() => {
              setProves(false);
              invite.reset();
            }}
          />
        ) : null}
        {invite.isError && !proves ? <p role="alert">{invite.error.message}</p> : null}
        {invite.data ? (
          <div role="alert" className="rounded-control border border-accent px-3 py-2">
            <p>Give them this link; it works once, and is shown this once.</p>
            <code className="break-all">{invite.data.link}</code>
          </div>
        ) : null}
      </form>
    </Panel>
  );
}
