import { Icon } from "../icons";
import { useRun } from "../state/run";
import { t } from "../words";

/** A dead worker, a lost connection, a newer server: said here, and gone when healed. */
export function Status() {
  const connection = useRun((state) => state.connection);
  const outdated = useRun((state) => state.outdated);
  const paused = useRun((state) => state.paused);
  const workers = useRun((state) => state.workers);
  const dead = Object.values(workers).find((worker) => worker.state === "dead");
  const starting = Object.values(workers).find((worker) => worker.state === "starting");
  if (connection === "lost") return <span className="status lost" role="alert"><i className="pulse" />{t("status.lost")}</span>;
  if (outdated) return <span className="status" role="alert">{t("status.outdated")} <button type="button" onClick={() => location.reload()}>{t("status.reload")}</button></span>;
  if (dead) return <span className="status lost" role="alert" title={dead.message}><Icon name="warning" />{t("status.dead", { message: dead.message })}</span>;
  if (starting) return <span className="status"><i className="pulse" />{t("status.starting")}</span>;
  if (paused) return <span className="status"><Icon name="pause" />{t("status.paused")}</span>;
  const device = Object.values(workers)[0]?.device;
  return <span className="status quiet">{connection === "connecting" ? t("status.connecting") : device && <><i className="live" />{device}</>}</span>;
}
