/** The source as the browser plays it, behind the exact frames of a server. */

import { useEffect, useRef, useState } from 'preact/hooks';

import type { Editing } from './editing';

export interface FilmProps {
  /** Where the browser finds it. */
  url: string;
  editing: Editing;
  playing: boolean;
  /** Where playing ends, in seconds. */
  last: number;
  /** Playing has ended. */
  stop(): void;
  /** Whether the browser can play it. */
  tell(isPlayable: boolean): void;
}

/** Silent; it follows the time that is shown, and leads it while it plays. */
export function Film({ url, editing, playing, last, stop, tell }: FilmProps) {
  const element = useRef<HTMLVideoElement>(null);
  const [ready, setReady] = useState(false);
  const { time } = editing;

  useEffect(() => {
    const video = element.current!;
    if (!ready || playing || video.seeking || Math.abs(video.currentTime - time) < 1e-3) return;
    // A little into the frame: its beginning is told in decimals.
    video.currentTime = time + 1e-3;
  });

  useEffect(() => {
    const video = element.current!;
    if (!playing || !ready) return;
    let request = 0;
    const follow = (at: number) => {
      if (at >= last) return stop();
      editing.setTime(at);
      next();
    };
    const byFrame: boolean = typeof video.requestVideoFrameCallback === 'function';
    const next = () => {
      request = byFrame
        ? video.requestVideoFrameCallback((_, { mediaTime }) => follow(mediaTime))
        : requestAnimationFrame(() => follow(video.currentTime));
    };
    video.play().then(next, stop);
    return () => {
      if (byFrame) video.cancelVideoFrameCallback(request);
      else cancelAnimationFrame(request);
      video.pause();
    };
  }, [playing, ready, last]);

  return (
    <video
      ref={element}
      src={url}
      muted
      playsInline
      preload="auto"
      tabIndex={-1}
      aria-hidden="true"
      onLoadedData={() => {
        setReady(true);
        tell(true);
      }}
      onSeeked={() => {
        const video = element.current!;
        // It was moved on while it sought.
        if (!playing && Math.abs(video.currentTime - editing.time) > 0.05) {
          video.currentTime = editing.time + 1e-3;
        }
      }}
      onEnded={stop}
      onError={() => {
        setReady(false);
        tell(false);
      }}
    />
  );
}
