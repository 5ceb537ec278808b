// Tests of csrc/parallel/cpu_count.hpp and num_threads.hpp; run by main.cpp.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "flatconv/flatconv.hpp"
#include "parallel/cpu_count.hpp"
#include "parallel/num_threads.hpp"

namespace {

using namespace flatconv::parallel;

// A directory with /proc and /sys files of a machine that never was.
class FakeRoot {
  public:
    FakeRoot() {
        std::string name = (std::filesystem::temp_directory_path() / "flatconv-XXXXXX").string();
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~FakeRoot() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    FakeRoot(const FakeRoot&) = delete;
    FakeRoot& operator=(const FakeRoot&) = delete;

    FakeRoot& write(const std::string& path, const std::string& text) {
        const std::filesystem::path whole = path_ + path;
        std::filesystem::create_directories(whole.parent_path());
        std::ofstream(whole) << text;
        return *this;
    }
    FakeRoot& cgroup(const std::string& lines) { return write("/proc/self/cgroup", lines); }
    FakeRoot& mountinfo(const std::string& lines) { return write("/proc/self/mountinfo", lines); }
    int cpus() const { return cgroup_cpus(path_); }

  private:
    std::string path_;
};

const std::string v2_mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string v1_mount =
    "29 23 0:25 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
    "33 29 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 29 0:31 / /sys/fs/cgroup/cpuset rw shared:10 - cgroup cgroup rw,cpuset\n";

}  // namespace

TEST_CASE("quotas are rounded up to whole CPUs") {
    CHECK(quota_cpus("200000", "100000") == 2);
    CHECK(quota_cpus("200001", "100000") == 3);
    CHECK(quota_cpus("1", "100000") == 1);
    CHECK(quota_cpus("9223372036854775807", "1") == unlimited_cpus);
    for (const char* none : {"max", "-1", "0", "", "12x", "99999999999999999999"}) {
        CHECK(quota_cpus(none, "100000") == unlimited_cpus);
        CHECK(quota_cpus("100000", none) == unlimited_cpus);
    }
}

TEST_CASE("no files, or senseless ones, are no limit") {
    FakeRoot root;
    CHECK(root.cpus() == unlimited_cpus);
    root.cgroup("\n:\nnonsense\n0::/a\n").mountinfo("\n- - - -\n30 23 - cgroup2\n1 2 3 / /c rw -\n");
    CHECK(root.cpus() == unlimited_cpus);
    root.mountinfo(v2_mount).write("/sys/fs/cgroup/a/cpu.max", "lots of it\n");
    CHECK(root.cpus() == unlimited_cpus);
}

TEST_CASE("cgroup v2: the least of the cgroup's and its ancestors' quotas") {
    FakeRoot root;
    root.cgroup("0::/user.slice/app\n").mountinfo(v2_mount);
    root.write("/sys/fs/cgroup/user.slice/app/cpu.max", "max 100000\n");
    CHECK(root.cpus() == unlimited_cpus);
    root.write("/sys/fs/cgroup/user.slice/cpu.max", "350000 100000\n");
    CHECK(root.cpus() == 4);
    root.write("/sys/fs/cgroup/cpu.max", "1000000 100000\n");
    CHECK(root.cpus() == 4);
    root.write("/sys/fs/cgroup/user.slice/app/cpu.max", "50000 100000\n");
    CHECK(root.cpus() == 1);
    root.write("/sys/fs/cgroup/other/cpu.max", "1 100000\n").cgroup("0::/\n");
    CHECK(root.cpus() == 10);
}

TEST_CASE("cgroup v1: the hierarchy that holds the cpu controller") {
    FakeRoot root;
    root.cgroup("12:cpuset:/set\n4:cpu,cpuacct:/docker/ab:cd\n1:name=systemd:/init\n").mountinfo(v1_mount);
    const std::string directory = "/sys/fs/cgroup/cpu,cpuacct/docker/ab:cd";
    root.write(directory + "/cpu.cfs_quota_us", "-1\n").write(directory + "/cpu.cfs_period_us", "100000\n");
    root.write("/sys/fs/cgroup/cpuset/set/cpu.cfs_quota_us", "1\n");
    root.write("/sys/fs/cgroup/cpuset/set/cpu.cfs_period_us", "1\n");
    CHECK(root.cpus() == unlimited_cpus);
    root.write(directory + "/cpu.cfs_quota_us", "150000\n");
    CHECK(root.cpus() == 2);
}

TEST_CASE("in a container: part of the hierarchy is mounted, or the cgroup is out of sight") {
    FakeRoot root;
    root.mountinfo("33 29 0:30 /docker/ab /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
    root.write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
    root.write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    root.write("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "100000\n");
    root.write("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
    for (const char* path : {"/docker/ab", "/", "/docker/abc", "/docker", "/../elsewhere", "/job"}) {
        root.cgroup(std::string("4:cpu:") + path + "\n");
        CHECK_MESSAGE(root.cpus() == 3, path);
    }
    root.cgroup("4:cpu:/docker/ab/job\n");
    CHECK(root.cpus() == 1);
}

TEST_CASE("mount points with blanks, and both versions at once") {
    FakeRoot root;
    root.cgroup("0::/a b\n4:cpu:/c\n");
    root.mountinfo("30 23 0:26 / /my\\040mount rw - cgroup2 none rw\n33 29 0:30 / /v1 rw - cgroup none rw,cpu\n");
    root.write("/my mount/a b/cpu.max", "500000 100000\n");
    CHECK(root.cpus() == 5);
    root.write("/v1/c/cpu.cfs_quota_us", "200000\n").write("/v1/c/cpu.cfs_period_us", "100000\n");
    CHECK(root.cpus() == 2);
}

TEST_CASE("usable CPUs are at least one and at most those of the machine") {
    CHECK(usable_cpus() >= 1);
    CHECK(usable_cpus() <= static_cast<int>(std::thread::hardware_concurrency()));
}

TEST_CASE("the environment chooses the default number of threads") {
    CHECK(choose_threads("3", "5", 8) == 3);
    CHECK(choose_threads(nullptr, "5", 8) == 5);
    CHECK(choose_threads(nullptr, nullptr, 8) == 8);
    CHECK(choose_threads(nullptr, "4,2", 8) == 4);
    CHECK(choose_threads(" 6 ", nullptr, 8) == 6);
    CHECK(choose_threads("100000", nullptr, 8) == max_threads);
    CHECK(choose_threads(nullptr, nullptr, 100000) == max_threads);
    CHECK(choose_threads(nullptr, nullptr, 0) == 1);
    CHECK(choose_threads("3, 1", "5", 8) == 3);
    for (const char* unset : {"", " ", "\t\n"}) {
        CHECK(choose_threads(unset, "5", 8) == 5);
        CHECK(choose_threads(unset, unset, 8) == 8);
    }
    for (const char* wrong : {"0", "-2", "2x", "two", "2.5", ",3", "+", "99999999999999999999"}) {
        CHECK_MESSAGE(choose_threads(wrong, "5", 8) == 0, wrong);
        CHECK_MESSAGE(choose_threads(nullptr, wrong, 8) == 8, wrong);
    }
}

TEST_CASE("set_num_threads takes 1 to 1024, and 0 for the default") {
    CHECK(flatconv::get_num_threads() == default_threads());
    CHECK(flatconv::set_num_threads(3));
    CHECK(flatconv::get_num_threads() == 3);

    const flatconv::Status negative = flatconv::set_num_threads(-1);
    CHECK(negative.code == flatconv::StatusCode::invalid_argument);
    CHECK(negative.message == "threads must be at least 1, got -1");
    const flatconv::Status excessive = flatconv::set_num_threads(1025);
    CHECK(excessive.code == flatconv::StatusCode::invalid_argument);
    CHECK(excessive.message == "threads must be at most 1024, got 1025");
    CHECK(flatconv::get_num_threads() == 3);

    CHECK(flatconv::set_num_threads(1024));
    CHECK(flatconv::set_num_threads(0));
    CHECK(flatconv::get_num_threads() == default_threads());
}
