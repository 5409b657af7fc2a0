import { show } from "../state/view";
import { t } from "../words";
import { openPalette } from "./gestures";

export function Welcome() {
  return (
    <div className="welcome">
      <h2>{t("welcome.title")}</h2>
      <p>{t("welcome.text")}</p>
      <p className="buttons">
        <button type="button" className="primary" onClick={() => show({ kind: "library" })}>{t("welcome.template")}</button>
        <button type="button" onClick={() => openPalette([innerWidth / 2 - 180, innerHeight / 3])}>{t("welcome.add")}</button>
      </p>
    </div>
  );
}
