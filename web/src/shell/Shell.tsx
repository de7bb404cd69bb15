import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useRouterState } from "@tanstack/react-router";
import {
  Activity,
  BrainCircuit,
  CandlestickChart,
  CheckCheck,
  Ellipsis,
  FileCog,
  Files,
  Gauge,
  LayoutDashboard,
  ListChecks,
  type LucideIcon,
  PieChart,
  Radio,
  ScrollText,
  Search,
  Settings,
  ShoppingBasket,
  Users,
} from "lucide-react";
import {
  type ChangeEvent,
  type ReactNode,
  Suspense,
  useContext,
  useEffect,
  useState,
  useSyncExternalStore,
} from "react";
import { door } from "@/shared/api/door";
import { approvalsQuery, liveQuery } from "@/shared/api/queries";
import { clockAhead, serverNow, useNow } from "@/shared/clock";
import { clock, span, zoneName } from "@/shared/format/time";
import { useLive } from "@/shared/live/store";
import { usePrefs } from "@/shared/prefs";
import { ahead } from "@/shared/ui/ahead";
import { Button } from "@/shared/ui/Button";
import { ModeChip, modeOf, StateChip } from "@/shared/ui/Chip";
import { cx } from "@/shared/ui/cx";
import { Dialog } from "@/shared/ui/Dialog";
import { Ticking } from "@/shared/ui/Figure";
import { DESK, useMedia } from "@/shared/ui/media";
import { ConfirmProvider, confirms } from "./confirming";
import { HaltButton, HaltProvider } from "./Halt";
import { HaltContext } from "./halt-inside";
import { useKeys } from "./keys";
import { type Permission, useScope } from "./scope";
import { Undo } from "./undo";
import { update } from "./update";

const { Part: Palette, fetched: palettes } = ahead(() => import("./Palette"));

type Place = { to: string; name: string; icon: LucideIcon; key?: string; sees?: Permission };
const PLACES: readonly Place[] = [
  { to: "/overview", name: "Overview", icon: LayoutDashboard, key: "o" },
  { to: "/portfolio", name: "Portfolio", icon: PieChart, key: "p" },
  { to: "/constraints", name: "Constraints", icon: Gauge, key: "c" },
  { to: "/actions", name: "Actions", icon: Activity, key: "s" },
  { to: "/regimes", name: "Regimes", icon: CandlestickChart, key: "r" },
  { to: "/basket", name: "Baskets", icon: ShoppingBasket, key: "b" },
  { to: "/approvals", name: "Approvals", icon: CheckCheck, key: "a" },
  { to: "/runs", name: "Runs", icon: ListChecks, key: "n" },
  { to: "/configs", name: "Configuration", icon: FileCog, key: "f", sees: "config.read" },
  { to: "/live", name: "Live", icon: Radio, key: "l" },
  { to: "/audit", name: "Audit", icon: ScrollText, key: "u", sees: "audit.read" },
  { to: "/artifacts", name: "Artifacts", icon: Files },
  { to: "/rl", name: "RL dataset", icon: BrainCircuit },
  { to: "/admin", name: "People", icon: Users, sees: "user.read" },
  { to: "/settings", name: "Settings", icon: Settings },
];
const ON_PHONE = ["/overview", "/portfolio", "/approvals", "/actions"];

/** Where somebody can see anything; a link to elsewhere tells which role it takes. */
export function usePlaces(): readonly Place[] {
  const { holds } = useScope();
  return PLACES.filter(({ sees }) => sees === undefined || holds(sees));
}

export function Shell({ children }: { children: ReactNode }) {
  return (
    <HaltProvider>
      <ConfirmProvider>
        <Frame>{children}</Frame>
      </ConfirmProvider>
    </HaltProvider>
  );
}

function Frame({ children }: { children: ReactNode }) {
  const scope = useScope();
  const halt = useContext(HaltContext);
  const [palette, setPalette] = useState<string | null>(null);
  useEffect(() => (scope.firm ? scope.live.follow(scope.firm) : undefined), [scope.firm, scope.live]);
  useEffect(() => {
    // what opens by a key is there before the key, and without a network
    const fetched = () => void Promise.all([palettes(), confirms()]).catch(() => undefined);
    const timer = setTimeout(() => (window.requestIdleCallback ?? ((act: () => void) => act()))(fetched), 1_000);
    return () => clearTimeout(timer);
  }, []);
  useKeys(
    () => setPalette(""),
    (text) => setPalette(text),
  );
  const isDesk = useMedia(DESK);
  const shown = scope.accounts?.find((one) => one.account_id === scope.account);
  return (
    <div className="flex h-full flex-col" data-ready="true">
      <a
        href="#main"
        className="sr-only focus:not-sr-only focus:absolute focus:top-2 focus:left-2 focus:z-(--z-halt) focus:bg-bg focus:p-2"
      >
        Skip to content
      </a>
      <ModeEdge mode={shown?.mode} asking={scope.asking} old={scope.old} />
      <header
        className="flex h-12 shrink-0 items-center gap-2 border-b border-line bg-bg px-4 max-desk:h-14 max-tablet:px-3"
        style={{ zIndex: "var(--z-header)" }}
      >
        <Link
          to="/overview"
          aria-label="Regime Trading, overview"
          className="mr-2 flex items-center gap-2 font-semibold"
        >
          <img src="/icon.svg" alt="" width={20} height={20} />
          <span className="max-desk:hidden">Regime Trading</span>
        </Link>
        <Where />
        <span className="flex items-center gap-1.5 max-tablet:hidden">
          {scope.asking ? null : (
            <>
              <ModeChip mode={shown?.mode} old={scope.old} />
              <StateChip state={shown?.trading_state} old={scope.old} />
            </>
          )}
        </span>
        <span className="ml-auto" />
        <Connection />
        <button
          type="button"
          onClick={() => setPalette("")}
          aria-label="Search or command"
          className="inline-flex h-8 items-center gap-2 rounded-control border border-line px-2 text-muted hover:text-fg max-desk:h-11 max-desk:w-11 max-desk:justify-center"
        >
          <Search size={16} aria-hidden />
          <kbd aria-hidden className="text-meta max-desk:hidden">
            Ctrl K
          </kbd>
        </button>
        <HaltButton onClick={() => halt?.()} />
      </header>
      <Banners />
      <div className="flex min-h-0 flex-1">
        {isDesk ? <Rail /> : null}
        <main id="main" tabIndex={-1} className="min-w-0 flex-1 overflow-y-auto p-6 outline-none max-tablet:p-4">
          <div className="mx-auto max-w-[1480px]">{children}</div>
        </main>
      </div>
      {isDesk ? null : <BottomBar />}
      <Alarms />
      <Undo />
      {palette !== null ? (
        <Suspense fallback={null}>
          <Palette start={palette} onClose={() => setPalette(null)} />
        </Suspense>
      ) : null}
    </div>
  );
}

const EDGES: Record<string, string> = {
  plain: "bg-line",
  shadow: "bg-shadow",
  warn: "bg-warn",
  safety: "bg-safety",
  unknown: "hatch",
};

type ModeEdgeProps = { mode: string | null | undefined; asking: boolean; old: boolean };

function ModeEdge({ mode, asking, old }: ModeEdgeProps) {
  const tone = asking ? "plain" : old ? "unknown" : modeOf(mode)[1];
  return <div aria-hidden className={cx("h-0.5 shrink-0", EDGES[tone])} />;
}

/** Which firm and which account is looked at; in the address, so that a link says it too. */
function Where() {
  const { firm, firms, ids, account } = useScope();
  const navigate = useNavigate();
  /** It shows what the address says until that has changed: whoever leaves an editor is asked first, and may stay. */
  const choose = (
    event: ChangeEvent<HTMLSelectElement>,
    shown: string,
    of: (value: string) => Record<string, unknown>,
  ) => {
    const more = of(event.target.value);
    event.target.value = shown;
    void navigate({ to: ".", search: (before: Record<string, unknown>) => ({ ...before, ...more }) as never });
  };
  const look = "h-8 min-w-0 rounded-control border border-line bg-surface px-2 max-desk:h-11";
  return (
    <span className="flex min-w-0 items-center gap-1.5">
      {firms.length > 1 ? (
        <select
          aria-label="Firm"
          value={firm}
          onChange={(event) => choose(event, firm, (value) => ({ firm: value, account: undefined }))}
          className={cx(look, "max-tablet:hidden")}
        >
          {firms.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      ) : (
        <span className="text-muted max-tablet:hidden">{firm}</span>
      )}
      <select
        aria-label="Account"
        value={account ?? ""}
        onChange={(event) => choose(event, account ?? "", (value) => ({ account: value }))}
        className={cx(look, "max-w-44")}
      >
        {ids.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    </span>
  );
}

const LINKS: Record<string, [string, string]> = {
  live: ["Live", "bg-accent"],
  connecting: ["Connecting", "bg-muted"],
  stale: ["Stale", "bg-warn"],
  offline: ["Offline", "bg-warn"],
  refused: ["No channel", "bg-warn"],
};

function Connection() {
  const { live } = useScope();
  const state = useLive(live, (told) => told.state);
  const { zone } = usePrefs();
  const now = useNow(serverNow);
  const [name, dot] = LINKS[state] ?? ["Unknown", "bg-muted"];
  return (
    <span className="flex items-center gap-2 text-meta text-muted" data-link={state}>
      <span className="whitespace-nowrap max-desk:hidden">
        {clock(now, zone)} {zoneName(now, zone)}
      </span>
      <span aria-hidden className={cx("size-2 rounded-full", dot)} />
      <span className={cx(state === "live" && "max-tablet:sr-only")}>{name}</span>
    </span>
  );
}

const SKEW_MS = 30_000;

/** What is not as it should be, under the header, in words. */
function Banners() {
  const { live, me, firm } = useScope();
  const state = useLive(live, (told) => told.state);
  const { heardAt, reason } = live.snapshot();
  const time = useNow(serverNow);
  const { zone } = usePrefs();
  const here = useRouterState({ select: (found) => found.location.href });
  const [held, setHeld] = useState(false);
  const waits = useSyncExternalStore(update.subscribe, update.waits);
  const shut = useSyncExternalStore(door.subscribe, door.isShut);
  const ahead = clockAhead();
  const { data: now } = useQuery({ ...liveQuery(firm), enabled: firm !== "" });
  const halted = now?.accounts.filter((one) => (one.halt.level ?? 0) > 0) ?? [];
  const quiet = state === "offline" || state === "stale" || state === "refused";
  return (
    <section aria-label="Notices">
      {me.demo ? (
        <p className="border-b border-line bg-raised px-4 py-1 text-meta text-muted">
          Demo: fictional firms, bundled prices, simulated orders.
        </p>
      ) : null}
      {shut ? (
        <p role="alert" className="border-b border-warn bg-surface px-4 py-1 text-warn">
          You are signed out: what is shown is old, and nothing can be done.{" "}
          <Link to="/login" search={{ next: here }} className="underline">
            Sign in again
          </Link>
        </p>
      ) : null}
      {Math.abs(ahead) >= SKEW_MS ? (
        <p role="status" className="border-b border-warn bg-surface px-4 py-1 text-warn">
          This device's clock is {span(Math.abs(ahead) / 1_000)} {ahead > 0 ? "ahead" : "behind"}; times here go by the
          server's.
        </p>
      ) : null}
      {quiet && !shut && (heardAt > 0 || state !== "offline") ? (
        <div role="status" className="flex items-center gap-3 border-b border-warn bg-surface px-4 py-1 text-warn">
          <span className="mr-auto">
            {state === "refused" ? (
              `The live channel is closed: ${reason || "rights changed"}. Figures are read once a minute.`
            ) : (
              <>
                Last update {clock(heardAt, zone)} {zoneName(heardAt, zone)},{" "}
                <Ticking>{span((time - heardAt) / 1_000)}</Ticking> ago. What loosens anything is disabled until it is
                back.
              </>
            )}
          </span>
          <Button kind="quiet" className="h-6" onClick={() => live.hurry()}>
            Connect now
          </Button>
        </div>
      ) : null}
      {halted.length > 0 ? (
        <p role="status" className="border-b border-safety bg-surface px-4 py-1 font-medium text-safety">
          {halted.map((one) => `${one.account.split("/")[1]}: ${one.halt.text}`).join(" · ")}
        </p>
      ) : null}
      {waits ? (
        <div role="status" className="flex items-center gap-3 border-b border-line bg-raised px-4 py-1">
          <span className="mr-auto">
            A new version is ready.{held ? " It waits until what you are at is kept or dropped." : ""}
          </span>
          <Button kind="quiet" className="h-6" onClick={() => setHeld(!update.take())}>
            Load it
          </Button>
        </div>
      ) : null}
    </section>
  );
}

function useWaiting(): number {
  const { firm } = useScope();
  const { data } = useQuery({ ...approvalsQuery(firm), enabled: firm !== "" });
  return data?.filter((one) => one.status === "requested").length ?? 0;
}

function Badge({ n }: { n: number }) {
  return n === 0 ? null : (
    <span className="ml-auto rounded-mark bg-warn px-1 text-label font-semibold text-bg">
      {n}
      <span className="sr-only"> waiting</span>
    </span>
  );
}

function Rail() {
  const places = usePlaces();
  const waiting = useWaiting();
  return (
    <nav
      aria-label="Places"
      style={{ zIndex: "var(--z-nav)" }}
      className="w-[200px] shrink-0 overflow-y-auto border-r border-line py-3"
    >
      {places.map(({ to, name, icon: Icon, key }) => (
        <Link
          key={to}
          to={to}
          className="mx-2 flex h-8 items-center gap-2.5 rounded-control px-2 text-muted hover:bg-raised hover:text-fg"
          activeProps={{ className: "bg-raised !text-fg font-medium", "aria-current": "page" }}
        >
          <Icon size={16} aria-hidden />
          {name}
          {to === "/approvals" ? <Badge n={waiting} /> : null}
          {key ? (
            <kbd aria-hidden className="ml-auto text-label text-muted">
              g {key}
            </kbd>
          ) : null}
        </Link>
      ))}
    </nav>
  );
}

function BottomBar() {
  const places = usePlaces();
  const waiting = useWaiting();
  const [more, setMore] = useState(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: it closes when one has gone somewhere
  useEffect(() => setMore(false), [path]);
  const look = "flex h-14 min-w-0 flex-1 flex-col items-center justify-center gap-0.5 text-label text-muted";
  return (
    <nav
      aria-label="Main places"
      style={{ zIndex: "var(--z-nav)" }}
      className="flex shrink-0 border-t border-line bg-bg pb-[env(safe-area-inset-bottom)]"
    >
      {places
        .filter((one) => ON_PHONE.includes(one.to))
        .map(({ to, name, icon: Icon }) => (
          <Link key={to} to={to} className={look} activeProps={{ className: "!text-fg", "aria-current": "page" }}>
            <span className="relative">
              <Icon size={20} aria-hidden />
              {to === "/approvals" && waiting > 0 ? (
                <span aria-hidden className="absolute -top-1 -right-2 rounded-mark bg-warn px-1 text-label text-bg">
                  {waiting}
                </span>
              ) : null}
            </span>
            {name}
          </Link>
        ))}
      <button type="button" className={look} onClick={() => setMore(true)}>
        <Ellipsis size={20} aria-hidden />
        More
      </button>
      <Dialog open={more} onOpenChange={setMore} title="More">
        <nav aria-label="Other places" className="grid gap-1">
          {places
            .filter((one) => !ON_PHONE.includes(one.to))
            .map(({ to, name, icon: Icon }) => (
              <Link key={to} to={to} className="flex h-11 items-center gap-3 rounded-control px-2 hover:bg-raised">
                <Icon size={18} aria-hidden /> {name}
              </Link>
            ))}
        </nav>
      </Dialog>
    </nav>
  );
}

/** Breaches and changes of mode for whoever cannot see the screen: at most one in five seconds. */
function Alarms() {
  const { live } = useScope();
  const alarms = useLive(live, (told) => told.alarms);
  const [said, setSaid] = useState("");
  const newest = alarms[0];
  useEffect(() => {
    if (newest === undefined) return;
    const timer = setTimeout(
      () => setSaid(`${newest.account}: ${(newest.data as { rationale?: string }).rationale ?? newest.type}`),
      said ? 5_000 : 0,
    );
    return () => clearTimeout(timer);
  }, [newest, said]);
  return (
    <p aria-live="polite" className="sr-only">
      {said}
    </p>
  );
}
